{{- define "cp.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 48 | trimSuffix "-" }}
{{- end }}

{{- /* At most 48 characters: a StatefulSet's revision label takes 11 more, and may have 63. */}}
{{- define "cp.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 48 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | trunc 48 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 48 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- /* Labels of one component: include "cp.labels" (list . "worker") */}}
{{- define "cp.labels" -}}
{{- $root := index . 0 -}}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" | trunc 63 }}
{{ include "cp.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: conference-pipeline
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
{{- with $root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "cp.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ include "cp.name" $root }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- /* Labels of pods: without versions, because a changed label restarts the pods. */}}
{{- define "cp.podLabels" -}}
{{ include "cp.selector" . }}
{{- with (index . 0).Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "cp.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}{{ default (include "cp.fullname" .) .Values.serviceAccount.name }}
{{- else }}{{ default "default" .Values.serviceAccount.name }}{{ end }}
{{- end }}

{{- define "cp.image" -}}
{{- $image := .Values.image }}
{{- if $image.digest }}{{ $image.repository }}@{{ $image.digest }}
{{- else }}{{ $image.repository }}:{{ default .Chart.AppVersion $image.tag }}{{ end }}
{{- end }}

{{- /* The settings except secrets, as a map of environment variables. */}}
{{- define "cp.settings" -}}
{{- $kafka := .Values.kafka }}{{ $pipeline := .Values.pipeline }}
KAFKA_BOOTSTRAP_SERVERS: {{ $kafka.bootstrapServers | quote }}
KAFKA_SECURITY_PROTOCOL: {{ $kafka.securityProtocol }}
{{- if hasPrefix "SASL_" $kafka.securityProtocol }}
KAFKA_SASL_MECHANISM: {{ $kafka.sasl.mechanism }}
{{- if eq $kafka.sasl.mechanism "OAUTHBEARER" }}
{{- with $kafka.sasl.oauth }}
KAFKA_OAUTH_TOKEN_URL: {{ .tokenUrl | quote }}
KAFKA_OAUTH_CLIENT_ID: {{ .clientId | quote }}
{{- if .scope }}
KAFKA_OAUTH_SCOPE: {{ .scope | quote }}
{{- end }}
{{- if .audience }}
KAFKA_OAUTH_AUDIENCE: {{ .audience | quote }}
{{- end }}
{{- if .caSecret }}
KAFKA_OAUTH_SSL_CA: /etc/conference-pipeline/kafka-oauth-ca/ca.crt
{{- end }}
{{- end }}
{{- with $kafka.sasl.oauth.extensions }}
KAFKA_OAUTH_EXTENSIONS: {{ . | quote }}
{{- end }}
{{- else if eq $kafka.sasl.mechanism "AWS_MSK_IAM" }}
KAFKA_AWS_REGION: {{ $kafka.sasl.awsRegion }}
{{- else if $kafka.sasl.username }}
KAFKA_SASL_USERNAME: {{ $kafka.sasl.username | quote }}
{{- end }}
{{- end }}
{{- if hasSuffix "SSL" $kafka.securityProtocol }}
KAFKA_SSL_VERIFY_HOSTNAME: {{ $kafka.tls.verifyHostname | quote }}
{{- if $kafka.tls.caSecret }}
KAFKA_SSL_CA: /etc/conference-pipeline/kafka-ca/ca.crt
{{- end }}
{{- if $kafka.tls.clientSecret }}
KAFKA_SSL_CERT: /etc/conference-pipeline/kafka-client/tls.crt
KAFKA_SSL_KEY: /etc/conference-pipeline/kafka-client/tls.key
{{- end }}
{{- end }}
SCHEMA_REGISTRY_URL: {{ .Values.registry.url | quote }}
{{- if .Values.registry.tls.caSecret }}
SCHEMA_REGISTRY_SSL_CA: /etc/conference-pipeline/registry-ca/ca.crt
{{- end }}
{{- if .Values.registry.tls.clientSecret }}
SCHEMA_REGISTRY_SSL_CERT: /etc/conference-pipeline/registry-client/tls.crt
SCHEMA_REGISTRY_SSL_KEY: /etc/conference-pipeline/registry-client/tls.key
{{- end }}
{{- if eq .Values.registry.auth.type "oauth" }}
{{- with .Values.registry.auth.oauth }}
SCHEMA_REGISTRY_OAUTH_TOKEN_URL: {{ .tokenUrl | quote }}
SCHEMA_REGISTRY_OAUTH_CLIENT_ID: {{ .clientId | quote }}
{{- if .scope }}
SCHEMA_REGISTRY_OAUTH_SCOPE: {{ .scope | quote }}
{{- end }}
{{- if .audience }}
SCHEMA_REGISTRY_OAUTH_AUDIENCE: {{ .audience | quote }}
{{- end }}
{{- if .caSecret }}
SCHEMA_REGISTRY_OAUTH_SSL_CA: /etc/conference-pipeline/registry-oauth-ca/ca.crt
{{- end }}
{{- end }}
{{- end }}
PIPELINE_TOPIC_PREFIX: {{ $pipeline.topicPrefix | quote }}
PIPELINE_GROUP_ID: {{ $pipeline.groupId | quote }}
PIPELINE_PARTITIONS: {{ int $pipeline.partitions | quote }}
PIPELINE_REPLICATION_FACTOR: {{ int $pipeline.replicationFactor | quote }}
PIPELINE_WATCHDOG_SECONDS: {{ $pipeline.watchdogSeconds | quote }}
PIPELINE_WATCHDOG_MODE: {{ default (ternary "progress" "dispatch" .Values.bridges.enabled) $pipeline.watchdogMode }}
PIPELINE_SESSION_TIMEOUT_SECONDS: {{ $pipeline.sessionTimeoutSeconds | quote }}
PIPELINE_COMMIT_INTERVAL_MS: {{ int $pipeline.commitIntervalMs | quote }}
PIPELINE_TRACE_CONTEXT: {{ $pipeline.traceContext | quote }}
PIPELINE_LOG_LEVEL: {{ $pipeline.logLevel }}
PIPELINE_LOG_FORMAT: {{ $pipeline.logFormat }}
PIPELINE_HTTP_HOST: "0.0.0.0"
PIPELINE_HTTP_PORT: {{ int $pipeline.httpPort | quote }}
{{- end }}

{{- /* The same as a list of env, for pods that run before the ConfigMap exists. */}}
{{- define "cp.settingsEnv" -}}
{{- range $name, $value := include "cp.settings" . | fromYaml }}
- {name: {{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- end }}

{{- /* One variable from a secret. Arguments: (list name secret key) */}}
{{- define "cp.secretEnv" -}}
- name: {{ index . 0 }}
  valueFrom: {secretKeyRef: {name: {{ index . 1 }}, key: {{ index . 2 }}}}
{{ end }}

{{- /* Whether extraEnv or extraEnvFrom may set a variable: "true" or "". Arguments: (list . name) */}}
{{- define "cp.isExtra" -}}
{{- $values := (index . 0).Values }}
{{- if $values.extraEnvFrom }}true{{ end }}
{{- range $values.extraEnv }}{{ if eq .name (index $ 1) }}true{{ end }}{{ end }}
{{- end }}

{{- /* Without existingSecret, the credentials come from extraEnv or extraEnvFrom. */}}
{{- define "cp.secretsEnv" -}}
{{- $sasl := .Values.kafka.sasl }}{{ $tls := .Values.kafka.tls }}{{ $auth := .Values.registry.auth }}
{{- if or (not (hasPrefix "SASL_" .Values.kafka.securityProtocol)) (not $sasl.existingSecret) }}
{{- else if eq $sasl.mechanism "OAUTHBEARER" }}
{{- include "cp.secretEnv" (list "KAFKA_OAUTH_CLIENT_SECRET" $sasl.existingSecret $sasl.oauth.clientSecretKey) }}
{{- else if ne $sasl.mechanism "AWS_MSK_IAM" }}
{{- if $sasl.usernameKey }}{{ include "cp.secretEnv" (list "KAFKA_SASL_USERNAME" $sasl.existingSecret $sasl.usernameKey) }}{{ end }}
{{- include "cp.secretEnv" (list "KAFKA_SASL_PASSWORD" $sasl.existingSecret $sasl.passwordKey) }}
{{- end }}
{{- if and $tls.clientSecret $tls.keyPasswordKey }}
{{- include "cp.secretEnv" (list "KAFKA_SSL_KEY_PASSWORD" $tls.clientSecret $tls.keyPasswordKey) }}
{{- end }}
{{- with .Values.registry.tls }}
{{- if and .clientSecret .keyPasswordKey }}
{{- include "cp.secretEnv" (list "SCHEMA_REGISTRY_SSL_KEY_PASSWORD" .clientSecret .keyPasswordKey) }}
{{- end }}
{{- end }}
{{- if not $auth.existingSecret }}
{{- else if eq $auth.type "basic" }}
{{- include "cp.secretEnv" (list "SCHEMA_REGISTRY_USERNAME" $auth.existingSecret $auth.usernameKey) }}
{{- include "cp.secretEnv" (list "SCHEMA_REGISTRY_PASSWORD" $auth.existingSecret $auth.passwordKey) }}
{{- else if eq $auth.type "bearer" }}
{{- include "cp.secretEnv" (list "SCHEMA_REGISTRY_BEARER_TOKEN" $auth.existingSecret $auth.tokenKey) }}
{{- else if eq $auth.type "oauth" }}
{{- include "cp.secretEnv" (list "SCHEMA_REGISTRY_OAUTH_CLIENT_SECRET" $auth.existingSecret $auth.oauth.clientSecretKey) }}
{{- end }}
{{- with .Values.extraEnv }}{{ toYaml . }}{{ end }}
{{- end }}

{{- /* The secrets mounted as files: volume name → secret and its keys. */}}
{{- define "cp.files" -}}
{{- $tls := .Values.kafka.tls }}{{ $registry := .Values.registry.tls }}
{{- if $tls.caSecret }}
kafka-ca: {secret: {{ $tls.caSecret }}, items: [{key: {{ $tls.caKey }}, path: ca.crt}]}
{{- end }}
{{- if $tls.clientSecret }}
kafka-client: {secret: {{ $tls.clientSecret }}, items: [{key: {{ $tls.certKey }}, path: tls.crt}, {key: {{ $tls.keyKey }}, path: tls.key}]}
{{- end }}
{{- if $registry.caSecret }}
registry-ca: {secret: {{ $registry.caSecret }}, items: [{key: {{ $registry.caKey }}, path: ca.crt}]}
{{- end }}
{{- if $registry.clientSecret }}
registry-client: {secret: {{ $registry.clientSecret }}, items: [{key: {{ $registry.certKey }}, path: tls.crt}, {key: {{ $registry.keyKey }}, path: tls.key}]}
{{- end }}
{{- range $name, $oauth := dict "kafka-oauth-ca" .Values.kafka.sasl.oauth "registry-oauth-ca" .Values.registry.auth.oauth }}
{{- if $oauth.caSecret }}
{{ $name }}: {secret: {{ $oauth.caSecret }}, items: [{key: {{ $oauth.caKey }}, path: ca.crt}]}
{{- end }}
{{- end }}
{{- end }}

{{- define "cp.volumes" -}}
- name: tmp
  emptyDir: {sizeLimit: 64Mi}
{{- range $name, $file := include "cp.files" . | fromYaml }}
- name: {{ $name }}
  secret:
    secretName: {{ $file.secret }}
    defaultMode: 0440
    items: {{ toJson $file.items }}
{{- end }}
{{- with .Values.extraVolumes }}{{ toYaml . | nindent 0 }}{{ end }}
{{- end }}

{{- define "cp.mounts" -}}
- {name: tmp, mountPath: /tmp}
{{- range $name, $_ := include "cp.files" . | fromYaml }}
- {name: {{ $name }}, mountPath: /etc/conference-pipeline/{{ $name }}, readOnly: true}
{{- end }}
{{- with .Values.extraVolumeMounts }}{{ toYaml . | nindent 0 }}{{ end }}
{{- end }}

{{- /* Pod spec shared by workers, setup and test. */}}
{{- define "cp.podSpec" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext: {{- toYaml .Values.podSecurityContext | nindent 2 }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.dnsConfig }}
dnsConfig: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- /*
With autoscaling, the live number of workers: Kubernetes sets a field that is no longer rendered to 1. Nothing before the
first install, and for tools that do not ask the cluster. Nothing either when Helm 4 applies on the server and an
autoscaler has set the number: the server keeps it, and a number that is old when it is applied would be a conflict.
*/}}
{{- define "cp.replicas" -}}
{{- if eq .Values.autoscaling.mode "none" }}{{ .Values.replicaCount }}
{{- else }}
{{- $live := lookup "apps/v1" "StatefulSet" .Release.Namespace (include "cp.fullname" .) }}
{{- $applied := false }}{{ $scaled := false }}
{{- range dig "metadata" "managedFields" list $live }}
{{- if and (eq .manager "helm") (eq .operation "Apply") }}{{ $applied = true }}{{ end }}
{{- if and (eq (default "" .subresource) "scale") (hasKey (dig "f:spec" dict (default dict .fieldsV1)) "f:replicas") }}{{ $scaled = true }}{{ end }}
{{- end }}
{{- $kept := and $applied $scaled (not (hasPrefix "v3" .Capabilities.HelmVersion.Version)) }}
{{- if and (hasKey (dig "spec" dict $live) "replicas") (not $kept) }}{{ int $live.spec.replicas }}{{ end }}
{{- end }}
{{- end }}

{{- /* Scaling behaviour: per minute, at most two workers more or one fewer. */}}
{{- define "cp.scaling" -}}
scaleUp:
  stabilizationWindowSeconds: {{ .Values.autoscaling.scaleUpStabilizationSeconds }}
  policies: [{type: Pods, value: 2, periodSeconds: 60}]
scaleDown:
  stabilizationWindowSeconds: {{ .Values.autoscaling.scaleDownStabilizationSeconds }}
  policies: [{type: Pods, value: 1, periodSeconds: 60}]
{{- end }}
