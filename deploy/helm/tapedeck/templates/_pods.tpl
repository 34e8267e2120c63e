{{/* What the roles are started with: the one place that knows their flags. */}}
{{- define "tapedeck.arguments.worker" -}}
- --node=$(TAPEDECK_NODE_NAME)
- --hub={{ include "tapedeck.hub" . }}.{{ .Release.Namespace }}.svc.{{ .Values.clusterDomain }}:{{ include "tapedeck.port.hub" . }}
{{- end -}}

{{- define "tapedeck.arguments.hub" -}}
- --set=tap.dashboard.tokenFile=/etc/tapedeck/token/token
{{- if include "tapedeck.keeps" . }}
- --set=cluster.kept={{ .Release.Namespace }}/{{ include "tapedeck.kept" . }}
{{- end }}
{{- end -}}

{{- define "tapedeck.probes" -}}
{{- $times := pick .times "initialDelaySeconds" "periodSeconds" "failureThreshold" "timeoutSeconds" -}}
# What a pod before it left open is read first, which takes its time.
startupProbe:
  httpGet: {path: /healthz, port: {{ .port }}}
  periodSeconds: 5
  failureThreshold: 120
livenessProbe:
  httpGet: {path: /healthz, port: {{ .port }}}
  {{- merge (deepCopy $times) (dict "periodSeconds" 10 "failureThreshold" 6 "timeoutSeconds" 3) | toYaml | nindent 2 }}
readinessProbe:
  httpGet: {path: /readyz, port: {{ .port }}}
  {{- merge (deepCopy $times) (dict "periodSeconds" 10 "failureThreshold" 3 "timeoutSeconds" 3) | toYaml | nindent 2 }}
{{- end -}}

{{- define "tapedeck.priorityClass" -}}
{{- $class := default (include "tapedeck.tap" .root | fromJson | dig "priorityClass" "") .own -}}
{{- if and (not $class) .root.Values.priorityClass.create -}}
{{- $class = include "tapedeck.fullname" .root -}}
{{- end -}}
{{- with $class }}
priorityClassName: {{ . }}
{{- end }}
{{- end -}}
