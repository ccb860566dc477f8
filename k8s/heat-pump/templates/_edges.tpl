{{/*
One edge of the network: a connection that the installation needs. It has two ends, since everything else is denied:
what may leave its source, and what may enter its target. An end outside the chart is a list of peers.

(dict "root" $ "name" "api-to-flow" "from" "api" "to" "flow" "ports" (list 8700))
from, to : a part of the chart; or fromPeers, toPeers : peers of a NetworkPolicy (no peer at all: everyone).
*/}}
{{- define "heat-pump.edge" -}}
{{- if .root.Values.networkPolicy.enabled }}
{{- if .from }}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  {{- include "heat-pump.metadata" (dict "root" .root "part" .from "name" (printf "%s-egress" .name)) | nindent 2 }}
spec:
  podSelector:
    matchLabels:
      {{- include "heat-pump.selector" (dict "root" .root "part" .from) | nindent 6 }}
  policyTypes: [Egress]
  egress:
    - ports:
        {{- include "heat-pump.edgePorts" . | nindent 8 }}
      {{- if .to }}
      to:
        - podSelector:
            matchLabels:
              {{- include "heat-pump.selector" (dict "root" .root "part" .to) | nindent 14 }}
      {{- else if .toPeers }}
      to:
        {{- toYaml .toPeers | nindent 8 }}
      {{- end }}
---
{{- end }}
{{- if .to }}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  {{- include "heat-pump.metadata" (dict "root" .root "part" .to "name" (printf "%s-ingress" .name)) | nindent 2 }}
spec:
  podSelector:
    matchLabels:
      {{- include "heat-pump.selector" (dict "root" .root "part" .to) | nindent 6 }}
  policyTypes: [Ingress]
  ingress:
    - ports:
        {{- include "heat-pump.edgePorts" . | nindent 8 }}
      {{- if .from }}
      from:
        - podSelector:
            matchLabels:
              {{- include "heat-pump.selector" (dict "root" .root "part" .from) | nindent 14 }}
      {{- else if .fromPeers }}
      from:
        {{- toYaml .fromPeers | nindent 8 }}
      {{- end }}
---
{{- end }}
{{- end }}
{{- end -}}

{{- define "heat-pump.edgePorts" -}}
{{- $protocol := .protocol | default "TCP" }}
{{- range .ports }}
- port: {{ . }}
  protocol: {{ $protocol }}
{{- end }}
{{- end -}}

{{/* An edge to the store: the chart's own, or yours: (dict "root" $ "from" "flow"). */}}
{{- define "heat-pump.influxdbEdge" -}}
{{- $edge := dict "root" .root "name" (printf "%s-to-influxdb" .from) "from" .from }}
{{- if include "heat-pump.ownInfluxdb" .root }}
{{- $edge = merge $edge (dict "to" "influxdb" "ports" (list 8086)) }}
{{- else }}
{{- $edge = merge $edge (dict "toPeers" .root.Values.influxdb.external.peers "ports" (list (include "heat-pump.externalPort" .root | int))) }}
{{- end }}
{{- include "heat-pump.edge" $edge }}
{{- end -}}

{{/* The port in the address of your InfluxDB. */}}
{{- define "heat-pump.externalPort" -}}
{{- $url := urlParse .Values.influxdb.external.url }}
{{- $port := regexFind ":[0-9]+$" $url.host | trimPrefix ":" }}
{{- $port | default (ternary "443" "80" (eq $url.scheme "https")) }}
{{- end -}}
