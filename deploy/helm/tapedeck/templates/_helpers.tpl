{{/* Gives the values their defaults where they are null, in place; every template begins with it. A name that is
left empty, be it of a whole part, is not set: helm takes its default away. Inside of what is a map of Kubernetes,
such as resources, what helm took away stays away. files/defaults.json has values.yaml by paths;
`UPDATE=1 cargo test packaging` writes it. */}}
{{- define "tapedeck.fill" -}}
{{- range $path, $default := .Files.Get "files/defaults.json" | fromJson -}}
{{- $at := $.Values -}}
{{- $names := splitList "." $path -}}
{{- range initial $names -}}
{{- if not (kindIs "map" (get $at .)) -}}
{{- $_ := set $at . dict -}}
{{- end -}}
{{- $at = get $at . -}}
{{- end -}}
{{- $name := last $names -}}
{{- if or (not (hasKey $at $name)) (kindIs "invalid" (get $at $name)) -}}
{{- $_ := set $at $name $default -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Names. */}}
{{- define "tapedeck.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "tapedeck.hub" -}}
{{ include "tapedeck.fullname" . }}-hub
{{- end -}}

{{- define "tapedeck.worker" -}}
{{ include "tapedeck.fullname" . }}-worker
{{- end -}}

{{/* Service accounts of the roles. */}}
{{- define "tapedeck.hub.serviceAccount" -}}
{{- default (ternary (include "tapedeck.hub" .) "default" .Values.hub.serviceAccount.create) .Values.hub.serviceAccount.name -}}
{{- end -}}

{{- define "tapedeck.worker.serviceAccount" -}}
{{- default (ternary (include "tapedeck.worker" .) "default" .Values.worker.serviceAccount.create) .Values.worker.serviceAccount.name -}}
{{- end -}}

{{/* Labels that never change during the life of a release. */}}
{{- define "tapedeck.selector" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "tapedeck.labels" -}}
{{ include "tapedeck.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: tapedeck
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with (include "tapedeck.tap" . | fromJson).labels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Labels of pods: none that changes with the chart alone, so that an upgrade restarts what must. */}}
{{- define "tapedeck.podLabels" -}}
{{ include "tapedeck.selector" . }}
app.kubernetes.io/part-of: tapedeck
{{- with (include "tapedeck.tap" . | fromJson).labels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The image. A digest of the release is that of its own image: another repository or tag has another one. */}}
{{- define "tapedeck.image" -}}
{{- $image := .Values.image -}}
{{- $own := .Files.Get "files/image.yaml" | fromYaml -}}
{{- $repository := default $own.repository $image.repository -}}
{{- $digest := $image.digest -}}
{{- if not (or $digest $image.tag (ne $repository $own.repository)) -}}
{{- $digest = $own.digest -}}
{{- end -}}
{{- if $digest -}}
{{ $repository }}@{{ $digest }}
{{- else -}}
{{ $repository }}:{{ default .Chart.AppVersion $image.tag }}
{{- end -}}
{{- end -}}

{{- define "tapedeck.pullPolicy" -}}
{{ include "tapedeck.tap" . | fromJson | dig "docker" "imagePullPolicy" .Values.image.pullPolicy }}
{{- end -}}

{{- define "tapedeck.pullSecrets" -}}
{{- $secrets := .Values.image.pullSecrets -}}
{{- range include "tapedeck.tap" . | fromJson | dig "docker" "imagePullSecrets" list -}}
{{- $secrets = append $secrets (ternary . (dict "name" .) (kindIs "map" .)) -}}
{{- end -}}
{{- with $secrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Ports; the program's own defaults where nothing is set. */}}
{{- define "tapedeck.port.dashboard" -}}
{{ include "tapedeck.tap" . | fromJson | dig "proxy" "front" "port" 8899 }}
{{- end -}}
{{- define "tapedeck.port.hub" -}}
{{ include "tapedeck.tap" . | fromJson | dig "proxy" "hub" "srvPort" 8898 }}
{{- end -}}
{{- define "tapedeck.port.metrics" -}}
{{ include "tapedeck.tap" . | fromJson | dig "metrics" "port" 49100 }}
{{- end -}}

{{/* Secrets and folders. */}}
{{- define "tapedeck.certificates.hub" -}}
{{ default (printf "%s-tls" (include "tapedeck.hub" .)) .Values.certificates.existingSecrets.hub }}
{{- end -}}
{{- define "tapedeck.certificates.worker" -}}
{{ default (printf "%s-tls" (include "tapedeck.worker" .)) .Values.certificates.existingSecrets.worker }}
{{- end -}}
{{/* Whether a Secret keeps what is added to the hub: without a volume, and with the right to it. */}}
{{- define "tapedeck.keeps" -}}
{{- if and .Values.hub.enabled .Values.rbac.create (not .Values.hub.persistence.enabled) }}true{{ end -}}
{{- end -}}

{{/* That Secret. */}}
{{- define "tapedeck.kept" -}}
{{ include "tapedeck.hub" . }}-kept
{{- end -}}

{{- define "tapedeck.token" -}}
{{ default (printf "%s-token" (include "tapedeck.hub" .)) .Values.hub.token.existingSecret }}
{{- end -}}
{{- define "tapedeck.dataPath" -}}
{{ default (printf "/var/lib/tapedeck/%s-%s" .Release.Namespace .Release.Name) .Values.worker.dataPath }}
{{- end -}}

{{/* Names in the certificates: the program looks for the first of each, whatever address it goes to. */}}
{{- define "tapedeck.hub.names" -}}
{{- $hub := include "tapedeck.hub" . -}}
{{- list "tapedeck-hub" $hub (printf "%s.%s.svc" $hub .Release.Namespace) | uniq | toJson -}}
{{- end -}}
{{- define "tapedeck.worker.names" -}}
{{- list "tapedeck-worker" | toJson -}}
{{- end -}}

{{/* Namespaces that a release without clusterScope watches. */}}
{{- define "tapedeck.namespaces" -}}
{{- $names := include "tapedeck.tap" . | fromJson | dig "namespaces" list | default list | compact -}}
{{- if not $names -}}
{{- $names = list .Release.Namespace -}}
{{- end -}}
{{- $names | uniq | toJson -}}
{{- end -}}

{{/* What under tap is for Kubernetes, and no configuration of the program. */}}
{{- define "tapedeck.notForProgram" -}}
{{- list "docker" "release" "resources" "probes" "labels" "annotations" "nodeSelectorTerms" "tolerations" "ingress" "auth" "routing" "securityContext" "priorityClass" "dns" "secrets" "hostNetwork" "mountBpf" "persistentStorage" "persistentStorageStatic" "persistentStoragePvcVolumeMode" "efsFileSytemIdAndPath" "resourceGuard" "watchdog" "storageClass" "ignoreTainted" "dataDir" "nodeName" "pcap" "dryRun" "snapshots" | toJson -}}
{{- end -}}

{{/* What the chart itself reads below tap, or refuses. */}}
{{- define "tapedeck.readOfTap" -}}
{{- list "docker.registry" "docker.tag" "docker.imagePullPolicy" "docker.imagePullSecrets" "proxy.front.port" "proxy.hub.srvPort" "metrics.port" "namespaces" "resources.hub" "resources.sniffer" "resources.worker" "probes.hub" "probes.sniffer" "tolerations.hub" "tolerations.workers" "nodeSelectorTerms.hub" "nodeSelectorTerms.workers" "securityContext.seLinuxOptions" "securityContext.appArmorProfile" "auth.enabled" "ingress.enabled" "dashboard.tokens" "dashboard.oidc.clientSecret" "tls" "serviceMesh" | toJson -}}
{{- end -}}

{{/* tap, with the names that the chart reads in its own spelling: the program takes them in any, and older
files have them in small letters (proxy.hub.srvport). */}}
{{- define "tapedeck.tap" -}}
{{- $tap := include "tapedeck.part" (dict "in" .Values "name" "tap") | fromJson -}}
{{- range concat (include "tapedeck.notForProgram" . | fromJsonArray) (include "tapedeck.readOfTap" . | fromJsonArray) -}}
{{- include "tapedeck.spell" (dict "in" $tap "path" (splitList "." .)) -}}
{{- end -}}
{{- toJson $tap -}}
{{- end -}}

{{/* A part of the values, without what is null: a name whose value is left empty is not set. */}}
{{- define "tapedeck.part" -}}
{{- $part := deepCopy (get .in .name | default dict) -}}
{{- include "tapedeck.prune" $part -}}
{{- toJson $part -}}
{{- end -}}

{{/* Takes what is null out of a map and of its lists, in place. */}}
{{- define "tapedeck.prune" -}}
{{- $in := . -}}
{{- range $name, $value := $in -}}
{{- if kindIs "invalid" $value -}}
{{- $_ := unset $in $name -}}
{{- else if kindIs "map" $value -}}
{{- include "tapedeck.prune" $value -}}
{{- else if kindIs "slice" $value -}}
{{- $left := list -}}
{{- range $value -}}
{{- if kindIs "map" . -}}
{{- include "tapedeck.prune" . -}}
{{- end -}}
{{- if not (kindIs "invalid" .) -}}
{{- $left = append $left . -}}
{{- end -}}
{{- end -}}
{{- $_ := set $in $name $left -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* scripting, with the older name of env in env. */}}
{{- define "tapedeck.scripting" -}}
{{- $scripting := include "tapedeck.part" (dict "in" .Values "name" "scripting") | fromJson -}}
{{- $env := merge ($scripting.env | default dict) ($scripting.consts | default dict) -}}
{{- set (unset $scripting "consts") "env" $env | toJson -}}
{{- end -}}

{{/* Gives the names of a path in a map the spelling of the path, in place. */}}
{{- define "tapedeck.spell" -}}
{{- $in := .in -}}
{{- $name := first .path -}}
{{- range $there := keys $in | sortAlpha -}}
{{- if and (ne $there $name) (eq (lower $there) (lower $name)) -}}
{{- if not (hasKey $in $name) -}}
{{- $_ := set $in $name (get $in $there) -}}
{{- else if and (kindIs "map" (get $in $name)) (kindIs "map" (get $in $there)) -}}
{{- $_ := set $in $name (merge (get $in $name) (get $in $there)) -}}
{{- end -}}
{{- $_ := unset $in $there -}}
{{- end -}}
{{- end -}}
{{- if and (rest .path) (kindIs "map" (get $in $name)) -}}
{{- include "tapedeck.spell" (dict "in" (get $in $name) "path" (rest .path)) -}}
{{- end -}}
{{- end -}}

{{/* The recordings. Helm reads YAML 1.1, in which a key that is written `on` without quotes means true. */}}
{{- define "tapedeck.recordings" -}}
{{- $all := list -}}
{{- range .Values.recordings -}}
{{- $one := include "tapedeck.part" (dict "in" (dict "one" .) "name" "one") | fromJson -}}
{{- if hasKey $one "true" -}}
{{- $one = set (unset $one "true") "on" (get . "true") -}}
{{- end -}}
{{- $all = append $all $one -}}
{{- end -}}
{{- $all | toJson -}}
{{- end -}}

{{/* The configuration file, without what belongs into a Secret. */}}
{{- define "tapedeck.config" -}}
{{- $tap := include "tapedeck.tap" . | fromJson -}}
{{- range include "tapedeck.notForProgram" . | fromJsonArray -}}
{{- $_ := unset $tap . -}}
{{- end -}}
{{- $unknown := include "tapedeck.sift" (dict "in" $tap "known" (.Files.Get "files/known.json" | fromJson) "path" "tap") -}}
{{- $_ := set $tap "dataDir" "/var/lib/tapedeck" -}}
{{- $scripting := omit (include "tapedeck.scripting" . | fromJson) "env" "envFor" "files" "existingSecrets" "existingConfigMaps" "source" "sources" -}}
{{- if include "tapedeck.hasScripts" . -}}
{{- $_ := set $scripting "source" "/etc/tapedeck/scripts" -}}
{{- end -}}
{{- if include "tapedeck.hasEnv" . -}}
{{- $_ := set $scripting "envFolder" "/etc/tapedeck/env" -}}
{{- end -}}
{{- $recording := include "tapedeck.part" (dict "in" .Values "name" "recording") | fromJson -}}
{{- if .Values.signing.existingSecret -}}
{{- $_ := set $recording "signing" (dict "key" "/etc/tapedeck/signing/key.pem") -}}
{{- end -}}
{{- $config := dict "tap" $tap "scripting" $scripting "recording" $recording "recordings" (include "tapedeck.recordings" . | fromJsonArray) "s3" (include "tapedeck.part" (dict "in" .Values "name" "s3") | fromJson) "logLevel" .Values.logLevel "headless" true -}}
{{- range $key, $value := $config -}}
{{- if or (kindIs "bool" $value) (not (empty $value)) }}
{{ $key }}:
{{- if or (kindIs "map" $value) (kindIs "slice" $value) }}
  {{- toYaml $value | nindent 2 }}
{{- else }} {{ toJson $value }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "tapedeck.hasScripts" -}}
{{- $scripting := include "tapedeck.scripting" . | fromJson -}}
{{- if or $scripting.files $scripting.existingConfigMaps }}true{{ end -}}
{{- end -}}

{{- define "tapedeck.hasEnv" -}}
{{- $scripting := include "tapedeck.scripting" . | fromJson -}}
{{- if or $scripting.env $scripting.envFor $scripting.existingSecrets }}true{{ end -}}
{{- end -}}

{{/* Key of a name of one script's env in the Secret: keys have fewer letters than titles. */}}
{{- define "tapedeck.envForKey" -}}
{{ printf "for-%s-%s" (sha256sum .title | trunc 12) .name }}
{{- end -}}

{{/* Text of a value of env: as written, or as JSON when it is no text. */}}
{{- define "tapedeck.envText" -}}
{{- if kindIs "string" . }}{{ . }}{{ else }}{{ toJson . }}{{ end -}}
{{- end -}}

{{/* Whether a number in it is of 2^53 or more: helm reads numbers as floats, which tell those apart no more. */}}
{{- define "tapedeck.tooLarge" -}}
{{- if or (kindIs "map" .) (kindIs "slice" .) -}}
{{- range . -}}
{{- include "tapedeck.tooLarge" . -}}
{{- end -}}
{{- else if or (kindIs "float64" .) (kindIs "int64" .) -}}
{{- if or (ge (float64 .) 9007199254740992.0) (le (float64 .) -9007199254740992.0) -}}
true
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Paths of the URLs in a value that have a user or a password, with a space after each. */}}
{{- define "tapedeck.userinfo" -}}
{{- $path := .path -}}
{{- if or (kindIs "map" .value) (kindIs "slice" .value) -}}
{{- range $name, $below := .value -}}
{{- include "tapedeck.userinfo" (dict "path" (ternary (toString $name) (printf "%s.%v" $path $name) (empty $path)) "value" $below) -}}
{{- end -}}
{{- else if kindIs "string" .value -}}
{{- if regexMatch "^[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*@" .value -}}
{{- print $path " " -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Pods start again when something changes that a running program does not follow. */}}
{{- define "tapedeck.checksums" -}}
{{- $config := include "tapedeck.config" . | fromYaml -}}
{{- $tap := omit ($config.tap | default dict) "regex" "namespaces" "excludedNamespaces" "labelSelector" "namespaceSelector" -}}
checksum/config: {{ list $tap (omit ($config.scripting | default dict) "env") $config.s3 $config.logLevel | toJson | sha256sum }}
{{- end -}}

{{/* Resources of the worker in the drop-in: under sniffer, in older releases under worker, where its file of
defaults holds 750m and 1Gi, which nobody chose and which are less than the worker wants. */}}
{{- define "tapedeck.resources.worker" -}}
{{- $all := include "tapedeck.tap" . | fromJson | dig "resources" dict | default dict -}}
{{- $older := $all.worker | default dict -}}
{{- $usual := dict "limits" (dict "cpu" "750m" "memory" "1Gi") "requests" (dict "cpu" "50m" "memory" "50Mi") -}}
{{- if deepEqual $older $usual -}}
{{- $older = dict -}}
{{- end -}}
{{- merge (deepCopy ($all.sniffer | default dict)) $older | toJson -}}
{{- end -}}

{{/* Values that are set and that nothing here reads, with the reason, but for those that are as the drop-in has
them unless told. files/unread.json has all there are; `UPDATE=1 cargo test packaging` writes it. */}}
{{- define "tapedeck.unread" -}}
{{- $values := deepCopy .Values -}}
{{- $found := dict -}}
{{- range $path, $told := .Files.Get "files/unread.json" | fromJson -}}
{{- $parts := splitList "." $path -}}
{{- include "tapedeck.spell" (dict "in" $values "path" $parts) -}}
{{- $value := $values -}}
{{- range $parts -}}
{{- $value = ternary (get (ternary $value dict (kindIs "map" $value)) .) "" (kindIs "map" $value) -}}
{{- end -}}
{{- if and (include "tapedeck.asks" $value) (not (has (toJson $value) $told.usual)) -}}
{{- $_ := set $found $path $told.why -}}
{{- end -}}
{{- end -}}
{{- $tap := include "tapedeck.tap" . | fromJson -}}
{{- range include "tapedeck.sift" (dict "in" $tap "known" (.Files.Get "files/known.json" | fromJson) "path" "tap") | splitList "\n" -}}
{{- with . -}}
{{- $_ := set $found . "there is no such name here" -}}
{{- end -}}
{{- end -}}
{{- $found | toJson -}}
{{- end -}}

{{/* Takes names that are unknown out of a map, in place; lines with the paths of those that ask for anything.
files/known.json has the known ones; `UPDATE=1 cargo test packaging` writes it. */}}
{{- define "tapedeck.sift" -}}
{{- $at := . -}}
{{- range $name, $value := .in -}}
{{- $path := printf "%s.%s" $at.path $name -}}
{{- if not (hasKey $at.known (lower $name)) -}}
{{- $_ := unset $at.in $name -}}
{{- if include "tapedeck.asks" $value -}}
{{- print $path "\n" -}}
{{- end -}}
{{- else if and (get $at.known (lower $name)) (kindIs "map" $value) -}}
{{- include "tapedeck.sift" (dict "in" $value "known" (get $at.known (lower $name)) "path" $path) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Whether a value asks for anything: what is empty, 0 or false does not, nor a part that is not enabled. */}}
{{- define "tapedeck.asks" -}}
{{- if kindIs "map" . -}}
{{- if dig "enabled" true . -}}
{{- range $name, $below := . -}}
{{- include "tapedeck.asks" $below -}}
{{- end -}}
{{- end -}}
{{- else if and . (ne (toString .) "0") -}}
true
{{- end -}}
{{- end -}}

{{/* Resources of the drop-in: a limit of 0 is none. */}}
{{- define "tapedeck.resources" -}}
{{- $resources := dict -}}
{{- range $kind, $amounts := merge (deepCopy (.theirs | default dict)) (deepCopy (.ours | default dict)) -}}
{{- if kindIs "map" $amounts -}}
{{- $kept := dict -}}
{{- range $name, $amount := $amounts -}}
{{- if not (has (toString $amount) (list "0" "")) -}}
{{- $_ := set $kept $name $amount -}}
{{- end -}}
{{- end -}}
{{- if $kept -}}
{{- $_ := set $resources $kind $kept -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toYaml $resources -}}
{{- end -}}

{{/* Node selector terms of a role: those under its name, or one list for all. */}}
{{- define "tapedeck.terms" -}}
{{- $terms := dig "nodeSelectorTerms" list .tap | default list -}}
{{- if kindIs "map" $terms -}}
{{- $terms = get $terms .role | default list -}}
{{- end -}}
{{- $terms | toJson -}}
{{- end -}}

{{/* Affinity: ours, with the node selector terms of the drop-in. */}}
{{- define "tapedeck.affinity" -}}
{{- $affinity := deepCopy (.ours | default dict) -}}
{{- with .terms -}}
{{- $node := dict "nodeAffinity" (dict "requiredDuringSchedulingIgnoredDuringExecution" (dict "nodeSelectorTerms" .)) -}}
{{- $affinity = merge $affinity $node -}}
{{- end -}}
{{- with $affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* policy/v1 is there from 1.21 on. */}}
{{- define "tapedeck.pdbVersion" -}}
{{ semverCompare ">=1.21-0" .Capabilities.KubeVersion.Version | ternary "policy/v1" "policy/v1beta1" }}
{{- end -}}

{{/* Mounts of configuration, scripts, env and certificates, the same for both roles. */}}
{{- define "tapedeck.mounts" -}}
- {name: config, mountPath: /etc/tapedeck/config, readOnly: true}
- {name: certificates, mountPath: /etc/tapedeck/tls, readOnly: true}
- {name: tmp, mountPath: /tmp}
{{- if include "tapedeck.hasScripts" . }}
- {name: scripts, mountPath: /etc/tapedeck/scripts, readOnly: true}
{{- end }}
{{- if include "tapedeck.hasEnv" . }}
- {name: env, mountPath: /etc/tapedeck/env, readOnly: true}
{{- end }}
{{- if .Values.signing.existingSecret }}
- {name: signing, mountPath: /etc/tapedeck/signing, readOnly: true}
{{- end }}
{{- end -}}

{{- define "tapedeck.volumes" -}}
{{- $fullname := include "tapedeck.fullname" . -}}
{{- $scripting := include "tapedeck.scripting" . | fromJson -}}
- name: config
  configMap: {name: {{ $fullname }}-config}
- name: tmp
  emptyDir: {sizeLimit: 256Mi}
{{- if include "tapedeck.hasScripts" . }}
- name: scripts
  projected:
    sources:
      {{- if $scripting.files }}
      - configMap: {name: {{ $fullname }}-scripts}
      {{- end }}
      {{- range $scripting.existingConfigMaps }}
      - configMap: {name: {{ . }}}
      {{- end }}
{{- end }}
{{- if include "tapedeck.hasEnv" . }}
- name: env
  projected:
    defaultMode: 0440
    sources:
      {{- if or $scripting.env $scripting.envFor }}
      - secret:
          name: {{ $fullname }}-env
          items:
            {{- range $name, $_ := $scripting.env }}
            - {key: {{ $name }}, path: {{ $name }}}
            {{- end }}
            {{- range $title, $values := $scripting.envFor }}
            {{- range $name, $_ := $values }}
            - key: {{ include "tapedeck.envForKey" (dict "title" $title "name" $name) }}
              path: {{ printf "%s/%s" $title $name | quote }}
            {{- end }}
            {{- end }}
      {{- end }}
      {{- range $scripting.existingSecrets }}
      - secret: {name: {{ . }}}
      {{- end }}
{{- end }}
{{- if .Values.signing.existingSecret }}
- name: signing
  secret:
    secretName: {{ .Values.signing.existingSecret }}
    defaultMode: 0440
    items:
      - {key: {{ .Values.signing.key }}, path: key.pem}
{{- end }}
{{- end -}}

{{/* Environment variables, the same for both roles. */}}
{{- define "tapedeck.envFrom" -}}
{{- $from := .own -}}
{{- range (include "tapedeck.tap" .root | fromJson).secrets -}}
{{- $from = append $from (dict "secretRef" (dict "name" .)) -}}
{{- end -}}
{{- with $from }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* What both roles are started with. */}}
{{- define "tapedeck.arguments" -}}
- --config-path=/etc/tapedeck/config/config.yaml
{{- end -}}

{{- define "tapedeck.dns" -}}
{{- with (include "tapedeck.tap" . | fromJson).dns }}
{{- if or .nameservers .searches .options }}
dnsConfig:
  {{- pick . "nameservers" "searches" "options" | toYaml | nindent 2 }}
{{- end }}
{{- end }}
{{- end -}}
