{{/* Rights of the hub, whose watches serve all workers. Workers have none. */}}
{{- define "tapedeck.rules.namespaced" -}}
# Names of pods and services; owners stand in the pods.
- apiGroups: [""]
  resources: [pods, services]
  verbs: [list, watch]
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [list, watch]
{{- if .Values.scripting.allowBlockPod }}
# hub.blockPod of scripts: a label on the pod, and a network policy that selects it.
- apiGroups: [""]
  resources: [pods]
  verbs: [get, patch]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [create]
{{- end }}
{{- if include "tapedeck.waitsForProbes" . }}
# Recordings that wait for failed probes.
- apiGroups: [""]
  resources: [events]
  verbs: [list, watch]
{{- end }}
{{- end -}}

{{- define "tapedeck.rules.cluster" -}}
# Names of nodes, for hostNetwork and NodePort; labels of namespaces.
- apiGroups: [""]
  resources: [nodes, namespaces]
  verbs: [list, watch]
{{- end -}}

{{- define "tapedeck.waitsForProbes" -}}
{{- range include "tapedeck.recordings" . | fromJsonArray -}}
{{- if contains "failedprobe" (lower (toString .on)) }}true{{ end -}}
{{- end -}}
{{- end -}}
