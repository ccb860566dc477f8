{{/* Which container gets which secret: variable → key of the Secret. */}}

{{- define "heat-pump.flowKeys" -}}
MQTT_PASSWORD: HEATPUMP_MQTT_FLOW_PASSWORD
HEATPUMP_MQTT_CLIENT_ID: HEATPUMP_MQTT_CLIENT_ID
HEATPUMP_COMMAND_TOKEN: HEATPUMP_COMMAND_TOKEN
HEATPUMP_METRICS_TOKEN: HEATPUMP_METRICS_TOKEN
{{- if eq .Values.store "influxdb" }}
INFLUXDB_TOKEN: INFLUXDB_TOKEN
{{- end }}
{{- end -}}

{{- define "heat-pump.apiKeys" -}}
MQTT_PASSWORD: HEATPUMP_MQTT_API_PASSWORD
HEATPUMP_API_TOKEN: HEATPUMP_API_TOKEN
HEATPUMP_SESSION_KEY: HEATPUMP_SESSION_KEY
HEATPUMP_COMMAND_TOKEN: HEATPUMP_COMMAND_TOKEN
HEATPUMP_METRICS_TOKEN: HEATPUMP_METRICS_TOKEN
{{- if eq .Values.store "influxdb" }}
INFLUXDB_TOKEN: INFLUXDB_TOKEN
{{- end }}
{{- end -}}

{{- define "heat-pump.accountsKeys" -}}
HEATPUMP_MQTT_FLOW_PASSWORD: HEATPUMP_MQTT_FLOW_PASSWORD
HEATPUMP_MQTT_API_PASSWORD: HEATPUMP_MQTT_API_PASSWORD
HEATPUMP_MQTT_HEALTH_PASSWORD: HEATPUMP_MQTT_HEALTH_PASSWORD
{{- end -}}

{{/* All keys the Secret must hold, by name → what it is. */}}
{{- define "heat-pump.requiredKeys" -}}
HEATPUMP_API_TOKEN
HEATPUMP_SESSION_KEY
HEATPUMP_COMMAND_TOKEN
HEATPUMP_METRICS_TOKEN
HEATPUMP_MQTT_FLOW_PASSWORD
HEATPUMP_MQTT_API_PASSWORD
HEATPUMP_MQTT_HEALTH_PASSWORD
HEATPUMP_MQTT_CLIENT_ID
{{- if eq .Values.store "influxdb" }}
INFLUXDB_TOKEN
{{- end }}
{{- if include "heat-pump.ownInfluxdb" . }}
INFLUXDB_PASSWORD
{{- if ne .Values.influxdb.operatorKey "INFLUXDB_TOKEN" }}
{{ .Values.influxdb.operatorKey }}
{{- end }}
{{- end }}
{{- end -}}

{{/* The command that makes the Secret, for sentences that refuse. Through a pipe: arguments can be read by every process. */}}
{{- define "heat-pump.secretCommand" -}}
for key in {{ include "heat-pump.requiredKeys" . | replace "\n" " " }}; do echo $key=$(openssl rand -hex 24); done | kubectl create secret generic heat-pump -n {{ .Release.Namespace }} --from-env-file=/dev/stdin
{{- end -}}
