{{/* A pod that sees the flow's volume and the backups: (dict "root" $ "restart" "Never" "command" (list …)). */}}
{{- define "heat-pump.backupPod" -}}
restartPolicy: {{ .restart }}
{{- include "heat-pump.podSecurity" (dict "user" 10001) | nindent 0 }}
{{- include "heat-pump.placement" (dict "root" .root "values" (pick .root.Values.flow "tolerations" "nodeSelector") "part" "backup") | nindent 0 }}
{{- if .besideFlow }}
affinity:
  podAffinity:
    requiredDuringSchedulingIgnoredDuringExecution:
      - topologyKey: kubernetes.io/hostname
        labelSelector:
          matchLabels:
            {{- include "heat-pump.selector" (dict "root" .root "part" "flow") | nindent 12 }}
{{- end }}
containers:
  - name: backup
    {{- include "heat-pump.ours" .root | nindent 4 }}
    command: {{ .command | toJson }}
    env:
      - name: HEATPUMP_DATA
        value: /data
      {{- include "heat-pump.storeEnv" .root | nindent 6 }}
      {{- if eq .root.Values.store "influxdb" }}
      - name: HEATPUMP_SECRETS
        value: /run/secrets
      {{- end }}
    resources:
      {{- toYaml .root.Values.backup.resources | nindent 6 }}
    {{- include "heat-pump.containerSecurity" . | nindent 4 }}
    volumeMounts:
      - name: data
        mountPath: /data
      - name: backups
        mountPath: /backups
      {{- if eq .root.Values.store "influxdb" }}
      - name: secrets
        mountPath: /run/secrets
        readOnly: true
      {{- end }}
      - name: tmp
        mountPath: /tmp
volumes:
  - name: data
    persistentVolumeClaim:
      claimName: data-{{ include "heat-pump.fullname" .root }}-flow-0
  - name: backups
    persistentVolumeClaim:
      claimName: {{ .root.Values.backup.volume.existing | default (printf "%s-backups" (include "heat-pump.fullname" .root)) }}
  {{- if eq .root.Values.store "influxdb" }}
  {{- include "heat-pump.secretVolume" (dict "root" .root "name" "secrets" "keys" (dict "INFLUXDB_TOKEN" "INFLUXDB_TOKEN")) | nindent 2 }}
  {{- end }}
  - name: tmp
    emptyDir:
      sizeLimit: 1Gi
{{- end -}}
