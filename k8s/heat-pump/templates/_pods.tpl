{{/* What all pods have in common, so that they pass the restricted Pod Security Standard. */}}

{{/* Security of a pod: (dict "user" 10001). */}}
{{- define "heat-pump.podSecurity" -}}
automountServiceAccountToken: false
# Variables made of service names, such as HEATPUMP_PANEL_PORT=tcp://…, would be taken for settings.
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: {{ .user }}
  runAsGroup: {{ .user }}
  fsGroup: {{ .user }}
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
{{- end -}}

{{/* Security of a container. */}}
{{- define "heat-pump.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end -}}

{{/* Where a pod runs: (dict "root" $ "values" .Values.flow "part" "flow" "spread" true). */}}
{{- define "heat-pump.placement" -}}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- else }}
{{- if .spread }}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "heat-pump.selector" . | nindent 8 }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Annotations that restart pods once what they read at their start has changed: (dict "root" $ "values" .Values.flow). */}}
{{- define "heat-pump.podAnnotations" -}}
{{- if not .root.Values.secrets.existing }}
checksum/secrets: {{ .root.Values.secrets.values | toJson | sha256sum }}
{{- end }}
{{- with .values.podAnnotations }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Our image: image and pull policy. */}}
{{- define "heat-pump.ours" -}}
image: {{ include "heat-pump.image" (dict "image" .Values.image "tag" .Chart.AppVersion) | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
{{- end -}}

{{/* A claim of a StatefulSet: (dict "name" "data" "volume" .Values.flow.volume). */}}
{{- define "heat-pump.claim" -}}
- metadata:
    name: {{ .name }}
  spec:
    {{- include "heat-pump.claimSpec" . | nindent 4 }}
{{- end -}}

{{- define "heat-pump.claimSpec" -}}
accessModes: [ReadWriteOnce]
{{- with .volume.storageClass }}
storageClassName: {{ . }}
{{- end }}
resources:
  requests:
    storage: {{ .volume.size }}
{{- end -}}

{{/* Files of secrets, each named after the variable it holds: (dict "root" $ "name" "secrets" "keys" (dict "VARIABLE" "key of the Secret") "optional" (list "KEY")). */}}
{{- define "heat-pump.secretVolume" -}}
- name: {{ .name }}
  projected:
    defaultMode: 0440
    sources:
      - secret:
          name: {{ include "heat-pump.secret" .root }}
          items:
            {{- range $variable, $key := .keys }}
            - key: {{ $key }}
              path: {{ $variable }}
            {{- end }}
      {{- range .optional }}
      - secret:
          name: {{ include "heat-pump.secret" $.root }}
          optional: true
          items:
            - key: {{ . }}
              path: {{ . }}
      {{- end }}
{{- end -}}
