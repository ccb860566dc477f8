{{- define "heat-pump.refusals" -}}
{{- $v := .Values }}

{{- if and (eq $v.store "sqlite") (gt (int $v.api.replicas) 1) }}
{{- fail (printf "api.replicas is %d, but with store: sqlite it can only be 1: the API reads the store's file in the flow's pod. Use store: influxdb for more." (int $v.api.replicas)) }}
{{- end }}
{{- if and (eq $v.store "sqlite") $v.influxdb.external.url }}
{{- fail (printf "influxdb.external.url is %s, but store is sqlite, which would leave it unused: use store: influxdb, or an empty address." $v.influxdb.external.url) }}
{{- end }}
{{- if and $v.secrets.existing $v.secrets.values }}
{{- fail (printf "secrets.existing is %s and secrets.values has keys too: give one of them." $v.secrets.existing) }}
{{- end }}
{{- if and (not $v.secrets.existing) (not $v.secrets.values) }}
{{- fail (printf "secrets.existing is empty: passwords and tokens are needed, and the chart makes none up. Make them with `%s` and set secrets.existing: heat-pump (all keys: README, \"Secrets\")." (include "heat-pump.secretCommand" .)) }}
{{- end }}
{{- if $v.secrets.values }}
{{- range include "heat-pump.requiredKeys" . | splitList "\n" }}
{{- if not (get $v.secrets.values .) }}
{{- fail (printf "secrets.values.%s is missing: give it (`openssl rand -hex 24` makes one), or make a Secret of all keys with `%s` and set secrets.existing: heat-pump." . (include "heat-pump.secretCommand" $)) }}
{{- end }}
{{- end }}
{{- end }}
{{- if and $v.influxdb.external.url $v.networkPolicy.enabled (not $v.influxdb.external.peers) }}
{{- fail (printf "influxdb.external.peers is empty: the network policies must be told where %s is, such as [{ipBlock: {cidr: 192.0.2.10/32}}]; or set networkPolicy.enabled: false." $v.influxdb.external.url) }}
{{- end }}
{{- if and $v.mosquitto.devices.type (not $v.mosquitto.tls.existing) }}
{{- fail (printf "mosquitto.devices.type is %s, but mosquitto.tls.existing is empty: devices come in by TLS. Make the Secret with `kubectl create secret tls heat-pump-mqtt -n %s --cert=mqtt.crt --key=mqtt.key` and name it there." $v.mosquitto.devices.type .Release.Namespace) }}
{{- end }}
{{- if and $v.restore.from (not $v.backup.volume.existing) }}
{{- fail (printf "restore.from is %s, but backup.volume.existing is empty: name the PersistentVolumeClaim that holds the backups." $v.restore.from) }}
{{- end }}
{{- if and $v.restore.from (not .Release.IsInstall) }}
{{- fail (printf "restore.from is %s, but %s is installed already: a backup is put into a new release. Set it empty, or uninstall first and delete the claims." $v.restore.from .Release.Name) }}
{{- end }}
{{- if and $v.mosquitto.tls.ca (not $v.mosquitto.tls.existing) }}
{{- fail "mosquitto.tls.ca is true, but mosquitto.tls.existing is empty: name the Secret that holds ca.crt, tls.crt and tls.key." }}
{{- end }}
{{- if and $v.ingress.enabled (not $v.ingress.host) }}
{{- fail "ingress.host is empty: give the host name under which pages and API shall be found, such as heatpumps.example.org." }}
{{- end }}
{{- if and $v.ingress.enabled (not $v.ingress.tls.secretName) }}
{{- fail (printf "ingress.tls.secretName is empty: visitors send passwords, so TLS is needed. Make the Secret with `kubectl create secret tls heat-pump-web -n %s --cert=web.crt --key=web.key` and name it there, or name the one that ingress.tls.clusterIssuer shall make." .Release.Namespace) }}
{{- end }}
{{- range list "ingressController" "monitoring" "dns" }}
{{- if and $v.networkPolicy.enabled (not (get $v.networkPolicy .)) }}
{{- fail (printf "networkPolicy.%s is empty, which would mean everyone: name the pods by a namespaceSelector or a podSelector." .) }}
{{- end }}
{{- end }}
{{- end -}}
