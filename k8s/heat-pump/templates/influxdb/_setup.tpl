{{- define "heat-pump.influxdbSetup" -}}
backoffLimit: 30
template:
  metadata:
    labels:
      {{- include "heat-pump.labels" (dict "root" $ "part" "influxdb-setup") | nindent 6 }}
  spec:
    restartPolicy: OnFailure
    {{- include "heat-pump.podSecurity" (dict "user" 10001) | nindent 4 }}
    {{- include "heat-pump.placement" (dict "root" $ "values" .Values.influxdb "part" "influxdb-setup") | nindent 4 }}
    containers:
      - name: setup
        {{- include "heat-pump.ours" . | nindent 8 }}
        command: [heatpump, influxdb, prepare]
        env:
          {{- include "heat-pump.env" . | nindent 10 }}
          {{- include "heat-pump.storeEnv" . | nindent 10 }}
          - name: INFLUXDB_USER
            value: {{ .Values.influxdb.user | quote }}
        resources:
          requests: { cpu: 50m, memory: 64Mi }
          limits: { memory: 128Mi }
        {{- include "heat-pump.containerSecurity" . | nindent 8 }}
        volumeMounts:
          - name: secrets
            mountPath: /run/secrets
            readOnly: true
          - name: data
            mountPath: /data
          - name: tmp
            mountPath: /tmp
    volumes:
      {{- include "heat-pump.secretVolume" (dict "root" $ "name" "secrets" "keys" (dict "INFLUXDB_TOKEN" .Values.influxdb.operatorKey "INFLUXDB_PASSWORD" "INFLUXDB_PASSWORD")) | nindent 6 }}
      - name: data
        emptyDir:
          medium: Memory
          sizeLimit: 16Mi
      - name: tmp
        emptyDir:
          medium: Memory
          sizeLimit: 64Mi
{{- end -}}
