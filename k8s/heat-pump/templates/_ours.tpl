{{/* Containers of our image: their variables, files and probes. */}}

{{/* Variables of every process of ours. */}}
{{- define "heat-pump.env" -}}
- name: HEATPUMP_DATA
  value: /data
- name: HEATPUMP_SECRETS
  value: /run/secrets
{{- end -}}

{{/* Variables that say where the store is, and the user's settings. */}}
{{- define "heat-pump.storeEnv" -}}
{{- if eq .Values.store "influxdb" }}
- name: INFLUXDB_URL
  value: {{ .Values.influxdb.external.url | default (printf "http://%s-influxdb:8086" (include "heat-pump.fullname" .)) | quote }}
{{- end }}
{{- range $name, $value := .Values.settings }}
- name: {{ $name }}
  value: {{ $value | toString | quote }}
{{- end }}
{{- end -}}

{{/* Variables that flow and API share: broker and store. */}}
{{- define "heat-pump.pipelineEnv" -}}
- name: MQTT_BROKER
  value: {{ include "heat-pump.fullname" . }}-mosquitto
- name: MQTT_PORT
  value: "1883"
{{- include "heat-pump.storeEnv" . }}
{{- end -}}

{{/* The API's container: in a pod of its own, or beside the flow where the store is SQLite. */}}
{{- define "heat-pump.apiContainer" -}}
- name: api
  {{- include "heat-pump.ours" . | nindent 2 }}
  command: [heatpump, api]
  env:
    {{- include "heat-pump.env" . | nindent 4 }}
    {{- include "heat-pump.pipelineEnv" . | nindent 4 }}
    - name: MQTT_USER
      value: heatpump-api
    - name: HEATPUMP_API_HOST
      value: 0.0.0.0
    - name: HEATPUMP_API_PORT
      value: "8000"
    {{- if eq .Values.store "influxdb" }}
    - name: HEATPUMP_FLOW_URL
      value: http://{{ include "heat-pump.fullname" . }}-flow:8700
    {{- end }}
    {{- if .Values.access.existing }}
    - name: HEATPUMP_ACCESS
      value: /access/access.json
    {{- end }}
    {{- if .Values.ingress.enabled }}
    - name: HEATPUMP_API_ORIGINS
      value: {{ include "heat-pump.origin" . }}
    {{- end }}
    {{- with .Values.api.extraEnv }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  ports:
    - name: api
      containerPort: 8000
  # Ready is what answers, also without a store: no other pod would have one, and its words say what is missing.
  startupProbe:
    httpGet: { path: /, port: api }
    periodSeconds: 2
    failureThreshold: 60
  livenessProbe:
    httpGet: { path: /, port: api }
    periodSeconds: 20
    timeoutSeconds: 5
  readinessProbe:
    httpGet: { path: /, port: api }
    periodSeconds: 5
    timeoutSeconds: 5
  resources:
    {{- toYaml .Values.api.resources | nindent 4 }}
  {{- include "heat-pump.containerSecurity" . | nindent 2 }}
  volumeMounts:
    - name: data
      mountPath: /data
    - name: api-secrets
      mountPath: /run/secrets
      readOnly: true
    {{- if .Values.access.existing }}
    - name: access
      mountPath: /access
      readOnly: true
    {{- end }}
    - name: tmp
      mountPath: /tmp
{{- end -}}

{{/* Volumes of the API's container, but for data and tmp. */}}
{{- define "heat-pump.apiVolumes" -}}
{{- include "heat-pump.secretVolume" (dict "root" . "name" "api-secrets" "keys" (include "heat-pump.apiKeys" . | fromYaml)) }}
{{- if .Values.access.existing }}
- name: access
  secret:
    secretName: {{ .Values.access.existing }}
    defaultMode: 0440
    items:
      - key: access.json
        path: access.json
{{- end }}
{{- end -}}

{{/* Where a visitor's browser finds everything. */}}
{{- define "heat-pump.origin" -}}
https://{{ .Values.ingress.host }}
{{- end -}}
