{{/* Names, labels, images: what every object shares. */}}

{{- define "heat-pump.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Labels that never change: (dict "root" $ "part" "flow"). */}}
{{- define "heat-pump.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .part }}
{{- end -}}

{{/* All labels of an object: (dict "root" $ "part" "flow"). */}}
{{- define "heat-pump.labels" -}}
{{ include "heat-pump.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* Name and labels of an object: (dict "root" $ "part" "flow" "name" "flow"). */}}
{{- define "heat-pump.metadata" -}}
name: {{ include "heat-pump.fullname" .root }}-{{ .name | default .part }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "heat-pump.labels" . | nindent 2 }}
{{- end -}}

{{/* The part whose pods serve the API: with SQLite it runs beside the flow, because both open one file. */}}
{{- define "heat-pump.apiPart" -}}
{{- if eq .Values.store "sqlite" }}flow{{ else }}api{{ end -}}
{{- end -}}

{{/* An image's reference: (dict "image" .Values.image "tag" "the default"). */}}
{{- define "heat-pump.image" -}}
{{- if .image.digest -}}
{{ .image.repository }}@{{ .image.digest }}
{{- else -}}
{{ .image.repository }}:{{ .image.tag | default .tag }}
{{- end -}}
{{- end -}}

{{/* Name of the Secret of all tokens and passwords. */}}
{{- define "heat-pump.secret" -}}
{{- .Values.secrets.existing | default (printf "%s-secrets" (include "heat-pump.fullname" .)) -}}
{{- end -}}

{{/* Whether the chart runs InfluxDB itself: "true" or empty. */}}
{{- define "heat-pump.ownInfluxdb" -}}
{{- if and (eq .Values.store "influxdb") (not .Values.influxdb.external.url) }}true{{ end -}}
{{- end -}}
