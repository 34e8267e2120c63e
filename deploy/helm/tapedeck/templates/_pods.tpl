{{/* What the roles are started with: the one place that knows their flags. */}}
{{- define "tapedeck.arguments.worker" -}}
- --node=$(TAPEDECK_NODE_NAME)
- --hub={{ include "tapedeck.hub" . }}.{{ .Release.Namespace }}.svc.{{ .Values.clusterDomain }}:{{ include "tapedeck.port.hub" . }}
- --probe-socket={{ include "tapedeck.probeSocket" . }}
{{- end -}}

{{/* In the pod's own /tmp: the worker before it may still have the folder on the node. */}}
{{- define "tapedeck.probeSocket" -}}
/tmp/probe.sock
{{- end -}}

{{- define "tapedeck.arguments.hub" -}}
- --set=tap.dashboard.tokenFile=/etc/tapedeck/token/token
{{- if include "tapedeck.keeps" . }}
- --set=cluster.kept={{ .Release.Namespace }}/{{ include "tapedeck.kept" . }}
{{- end }}
{{- end -}}

{{/* Where `socket` is given, whoever has the port keeps nobody from hearing that the program is alive. A program
that is started for it costs some 50 ms of a processor, so it is asked seldom; readiness asks the port, which has to
answer for that. */}}
{{- define "tapedeck.probes" -}}
{{- $times := pick .times "initialDelaySeconds" "periodSeconds" "failureThreshold" "timeoutSeconds" -}}
{{- $alive := dict "httpGet" (dict "path" "/healthz" "port" .port) -}}
{{- $pace := dict "periodSeconds" 10 "failureThreshold" 6 "timeoutSeconds" 3 -}}
{{- if .socket -}}
{{- $alive = dict "exec" (dict "command" (list "/usr/local/bin/tapedeck" "probe" "alive" (printf "--socket=%s" .socket))) -}}
{{- $pace = dict "periodSeconds" 30 "failureThreshold" 4 "timeoutSeconds" 10 -}}
{{- end -}}
# What a pod before it left open is read first, which takes its time.
startupProbe:
  {{- toYaml $alive | nindent 2 }}
  periodSeconds: 5
  failureThreshold: 120
  {{- if .socket }}
  timeoutSeconds: 10
  {{- end }}
livenessProbe:
  {{- toYaml $alive | nindent 2 }}
  {{- merge (deepCopy $times) $pace | toYaml | nindent 2 }}
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
