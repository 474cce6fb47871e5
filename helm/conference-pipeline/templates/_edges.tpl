{{- /*
Environment of a gateway or a bridge: the settings, with the brokers' user of its own where there is one.
Arguments: (list . kafka), with `kafka` as in gateway.kafka and bridges.kafka.
*/}}
{{- define "cp.edgeEnv" -}}
{{- $context := include "cp.edgeContext" . | fromJson }}
{{- include "cp.settingsEnv" $context | trim }}
{{ include "cp.secretsEnv" $context | trim }}
{{- end }}

{{- /* What the helpers of credentials need, with the user of an edge. Arguments as above; JSON. */}}
{{- define "cp.edgeContext" -}}
{{- $values := deepCopy (index . 0).Values }}{{ $user := index . 1 }}
{{- with $user.username }}{{ $_ := set $values.kafka.sasl "username" . }}{{ $_ := set $values.kafka.sasl "usernameKey" "" }}{{ end }}
{{- with $user.existingSecret }}{{ $_ := set $values.kafka.sasl "existingSecret" . }}{{ end }}
{{- with $user.clientSecret }}{{ $_ := set $values.kafka.tls "clientSecret" . }}{{ end }}
{{- dict "Values" (pick $values "kafka" "registry" "pipeline" "bridges" "extraEnv" "extraVolumes" "extraVolumeMounts") | toJson }}
{{- end }}

{{- /* The port of a URL. Arguments: (list url default) */}}
{{- define "cp.portOf" -}}
{{- $url := urlParse (index . 0) }}
{{- regexFind ":[0-9]+$" $url.host | trimPrefix ":" | default (index . 1) }}
{{- end }}

{{- define "cp.gatewaySettings" -}}
{{- $g := .Values.gateway }}
GATEWAY_HTTP_HOST: "0.0.0.0"
GATEWAY_HTTP_PORT: {{ int $g.port | quote }}
GATEWAY_APPS_FILE: {{ printf "/etc/conference-pipeline/apps/%s" $g.appsKey }}
{{- with $g.nodes }}
GATEWAY_NODES: {{ . | quote }}
{{- end }}
{{- with $g.trustedProxies }}
GATEWAY_TRUSTED_PROXIES: {{ . | quote }}
{{- end }}
{{- with $g.sessionCheckUrl }}
GATEWAY_SESSION_CHECK_URL: {{ . | quote }}
{{- end }}
GATEWAY_WAIT_SECONDS: {{ $g.waitSeconds | quote }}
GATEWAY_APP_REQUESTS_PER_SECOND: {{ $g.appRequestsPerSecond | quote }}
GATEWAY_ANONYMOUS_REQUESTS_PER_SECOND: {{ $g.anonymousRequestsPerSecond | quote }}
GATEWAY_PLAY_COOLDOWN_SECONDS: {{ $g.playCooldownSeconds | quote }}
GATEWAY_CONTROL_COOLDOWN_SECONDS: {{ $g.controlCooldownSeconds | quote }}
GATEWAY_SESSION_COOLDOWN_SECONDS: {{ $g.sessionCooldownSeconds | quote }}
GATEWAY_MAX_BODY_BYTES: {{ int $g.maxBodyBytes | quote }}
GATEWAY_MAX_CONNECTIONS: {{ int $g.maxConnections | quote }}
GATEWAY_MAX_PENDING: {{ int $g.maxPending | quote }}
GATEWAY_MAX_STREAMS: {{ int $g.maxStreams | quote }}
GATEWAY_APP_STREAMS: {{ int $g.appStreams | quote }}
GATEWAY_REPLAY_READERS: {{ int $g.replayReaders | quote }}
{{- end }}

{{- /* Labels and annotations of an edge's pods, and the common part of its spec. Arguments: (list . component) */}}
{{- define "cp.edgePod" -}}
{{- $root := index . 0 -}}
labels:
  {{- include "cp.podLabels" . | nindent 2 }}
  {{- with $root.Values.podLabels }}{{ toYaml . | nindent 2 }}{{ end }}
annotations:
  kubectl.kubernetes.io/default-container: {{ index . 1 }}
  {{- with $root.Values.podAnnotations }}{{ toYaml . | nindent 2 }}{{ end }}
{{- end }}

{{- /* Name of a bridge's Deployment. Names are lower-case: a hash keeps N1 and n1 apart. Arguments: (list . node) */}}
{{- define "cp.bridgeName" -}}
{{- $node := index . 1 }}
{{- printf "%s-bridge-%s" (include "cp.fullname" (index . 0)) (lower $node) }}
{{- if ne $node (lower $node) }}-{{ sha256sum $node | trunc 6 }}{{ end }}
{{- end }}
