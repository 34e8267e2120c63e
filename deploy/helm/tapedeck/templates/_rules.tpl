{{/* Rights of the hub, whose watches serve all workers. Workers have none. */}}
{{- define "tapedeck.rules.namespaced" -}}
# Names of pods and services; owners stand in the pods.
- apiGroups: [""]
  resources: [pods, services]
  verbs: [list, watch]
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [list, watch]
{{- if (include "tapedeck.scripting" . | fromJson).allowBlockPod }}
# hub.blockPod of scripts: a label on the pod, and a network policy that selects it.
- apiGroups: [""]
  resources: [pods]
  verbs: [get, patch]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [create]
{{- end }}
{{- if include "tapedeck.waitsFor" (list . "failedprobe") }}
# Recordings that wait for failed probes.
- apiGroups: [""]
  resources: [events]
  verbs: [list, watch]
{{- end }}
{{- if include "tapedeck.waitsFor" (list . "rollout") }}
# Recordings that wait for rollouts: those that began while the hub was away.
- apiGroups: [apps]
  resources: [replicasets, controllerrevisions]
  verbs: [list]
{{- end }}
{{- end -}}

{{- define "tapedeck.rules.cluster" -}}
# Names of nodes, for hostNetwork and NodePort; labels of namespaces.
- apiGroups: [""]
  resources: [nodes, namespaces]
  verbs: [list, watch]
{{- end -}}

{{/* Whether a recording waits for something, by its name in lower case. */}}
{{- define "tapedeck.waitsFor" -}}
{{- $what := last . -}}
{{- range include "tapedeck.recordings" (first .) | fromJsonArray -}}
{{- if contains $what (lower (toString .on)) }}true{{ end -}}
{{- end -}}
{{- end -}}
