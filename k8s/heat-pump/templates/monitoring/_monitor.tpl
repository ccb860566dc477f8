{{/* Metadata with the labels by which your Prometheus selects: (dict "root" $ "part" "flow" "labels" …). */}}
{{- define "heat-pump.monitorMetadata" -}}
{{ include "heat-pump.metadata" . }}
{{- range $name, $value := .labels }}
  {{ $name }}: {{ $value | quote }}
{{- end }}
{{- end -}}

{{/* How Prometheus asks a part, with the metrics' own token: (dict "root" $ "part" "flow" "port" "metrics" "interval" "30s"). */}}
{{- define "heat-pump.monitorSpec" -}}
selector:
  matchLabels:
    {{- include "heat-pump.selector" . | nindent 4 }}
namespaceSelector:
  matchNames: [{{ .root.Release.Namespace }}]
endpoints:
  - port: {{ .port }}
    path: /metrics
    interval: {{ .interval }}
    authorization:
      type: Bearer
      credentials:
        name: {{ include "heat-pump.secret" .root }}
        key: HEATPUMP_METRICS_TOKEN
{{- end -}}

{{/* An alert: (dict "root" $ "name" "HeatPumpFlowDown" "page" "flow-down" "level" "critical" "for" "5m" "expr" "…" "summary" "…"). */}}
{{- define "heat-pump.alert" -}}
- alert: {{ .name }}
  expr: >-
    {{ .expr }}
  for: {{ .for }}
  labels:
    severity: {{ .level }}
  annotations:
    summary: {{ .summary | quote }}
    {{- with .root.Values.monitoring.rules.runbooks }}
    runbook_url: {{ . }}/{{ $.page }}.md
    {{- else }}
    runbook: docs/runbooks/{{ .page }}.md
    {{- end }}
{{- end -}}
