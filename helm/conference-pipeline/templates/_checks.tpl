{{- /* Fail the rendering when values are inconsistent, with an error that names the value to set. */}}
{{- define "cp.checks" -}}
{{- $v := .Values }}
{{- $partitions := int $v.pipeline.partitions }}
{{- $wrong := list }}
{{- if not $v.kafka.bootstrapServers }}
{{- $wrong = append $wrong "kafka.bootstrapServers is empty: set it to your brokers, host:port,host:port." }}
{{- end }}
{{- if not $v.registry.url }}
{{- $wrong = append $wrong "registry.url is empty: set it to your registry's Confluent-compatible API, such as http://registry:8080/apis/ccompat/v7." }}
{{- end }}
{{- if and (eq $v.autoscaling.mode "none") (gt (int $v.replicaCount) $partitions) }}
{{- $wrong = append $wrong (printf "replicaCount is %d, but only as many workers as partitions have work: set it to at most pipeline.partitions, %d." (int $v.replicaCount) $partitions) }}
{{- end }}
{{- if ne $v.autoscaling.mode "none" }}
{{- if gt (int $v.autoscaling.maxReplicas) $partitions }}
{{- $wrong = append $wrong (printf "autoscaling.maxReplicas is %d, but only as many workers as partitions have work: set it to at most pipeline.partitions, %d." (int $v.autoscaling.maxReplicas) $partitions) }}
{{- end }}
{{- if gt (int $v.autoscaling.minReplicas) (int $v.autoscaling.maxReplicas) }}
{{- $wrong = append $wrong (printf "autoscaling.minReplicas is %d and maxReplicas is %d: set minReplicas to at most maxReplicas." (int $v.autoscaling.minReplicas) (int $v.autoscaling.maxReplicas)) }}
{{- end }}
{{- end }}
{{- if and (eq $v.autoscaling.mode "hpa") (not (dig "requests" "cpu" "" $v.resources)) }}
{{- $wrong = append $wrong "autoscaling.mode is hpa, which measures CPU in per cent of the request: set resources.requests.cpu." }}
{{- end }}
{{- $wrong = concat $wrong (include "cp.rules" . | fromJsonArray) }}
{{- range $path, $tls := dict "kafka.tls" $v.kafka.tls "registry.tls" $v.registry.tls }}
{{- if and $tls.keyPasswordKey (not $tls.clientSecret) }}
{{- $wrong = append $wrong (printf "%s.keyPasswordKey is set, but %s.clientSecret is not: set both or neither." $path $path) }}
{{- end }}
{{- end }}
{{- if and $v.kafka.sasl.awsRegion (eq $v.setup.mode "hook") $v.serviceAccount.create }}
{{- $wrong = append $wrong "kafka.sasl.mechanism is AWS_MSK_IAM and setup.mode is hook, which runs before the service account with the role exists: set setup.mode to job, or serviceAccount.create to false and name one that exists." }}
{{- end }}
{{- $oauth := $v.registry.auth.oauth }}
{{- if and (eq $v.registry.auth.type "oauth") (not (and $oauth.tokenUrl $oauth.clientId)) }}
{{- $wrong = append $wrong "registry.auth.type is oauth: set registry.auth.oauth.tokenUrl and registry.auth.oauth.clientId." }}
{{- end }}
{{- if and (ne $v.registry.auth.type "oauth") (or $oauth.tokenUrl $oauth.clientId $oauth.scope $oauth.audience $oauth.caSecret) }}
{{- $wrong = append $wrong "registry.auth.oauth is set, but has no effect without registry.auth.type oauth." }}
{{- end }}
{{- $credentials := dict "none" list "basic" (list "SCHEMA_REGISTRY_USERNAME" "SCHEMA_REGISTRY_PASSWORD") "bearer" (list "SCHEMA_REGISTRY_BEARER_TOKEN") "oauth" (list "SCHEMA_REGISTRY_OAUTH_CLIENT_SECRET") }}
{{- $missing := list }}
{{- range get $credentials $v.registry.auth.type }}
{{- if not (or $v.registry.auth.existingSecret (include "cp.isExtra" (list $ .))) }}{{ $missing = append $missing . }}{{ end }}
{{- end }}
{{- if $missing }}
{{- $wrong = append $wrong (printf "registry.auth.type is %s: set registry.auth.existingSecret to the name of the secret with the credentials, or %s by extraEnv or extraEnvFrom." $v.registry.auth.type (join " and " $missing)) }}
{{- end }}
{{- if and $v.kafka.sasl.usernameKey (not $v.kafka.sasl.existingSecret) }}
{{- $wrong = append $wrong "kafka.sasl.usernameKey is set, but kafka.sasl.existingSecret is not: set both or neither." }}
{{- end }}
{{- if eq $v.autoscaling.mode "keda" }}
{{- range $v.extraEnv }}
{{- if has .name (list "KAFKA_SSL_CA" "KAFKA_SSL_CERT" "KAFKA_SSL_KEY") }}
{{- $wrong = append $wrong (printf "autoscaling.mode is keda, which can't read the file of %s in extraEnv: set kafka.tls.caSecret and kafka.tls.clientSecret instead, or autoscaling.mode to hpa." .name) }}
{{- end }}
{{- end }}
{{- end }}
{{- if and $v.registry.auth.existingSecret (eq $v.registry.auth.type "none") }}
{{- $wrong = append $wrong "registry.auth.existingSecret is set, but registry.auth.type is none: set the type to basic, bearer or oauth." }}
{{- end }}
{{- if and (or $v.strimzi.topics.enabled $v.strimzi.user.enabled) (not $v.strimzi.cluster) }}
{{- $wrong = append $wrong "strimzi.cluster is empty: set it to the name of your Kafka resource." }}
{{- end }}
{{- if and (or $v.strimzi.topics.enabled $v.strimzi.user.enabled) (eq $v.setup.mode "hook") }}
{{- $wrong = append $wrong "setup.mode is hook, which runs before the KafkaTopics and the KafkaUser exist: set setup.mode to job." }}
{{- end }}
{{- if $v.gateway.enabled }}
{{- if not $v.gateway.appsSecret }}
{{- $wrong = append $wrong "gateway.enabled is true: set gateway.appsSecret to the name of the secret with the apps file." }}
{{- end }}
{{- if and $v.gateway.ingress.enabled (not $v.gateway.ingress.hosts) }}
{{- $wrong = append $wrong "gateway.ingress.enabled is true: set gateway.ingress.hosts." }}
{{- end }}
{{- if eq (int $v.gateway.port) (int $v.pipeline.httpPort) }}
{{- $wrong = append $wrong (printf "gateway.port and pipeline.httpPort are both %d: set them to different ports." (int $v.gateway.port)) }}
{{- end }}
{{- if and $v.gateway.autoscaling.enabled (not (dig "requests" "cpu" "" $v.gateway.resources)) }}
{{- $wrong = append $wrong "gateway.autoscaling measures CPU in per cent of the request: set gateway.resources.requests.cpu." }}
{{- end }}
{{- if and $v.gateway.autoscaling.enabled (gt (int $v.gateway.autoscaling.minReplicas) (int $v.gateway.autoscaling.maxReplicas)) }}
{{- $wrong = append $wrong (printf "gateway.autoscaling.minReplicas is %d and maxReplicas is %d: set minReplicas to at most maxReplicas." (int $v.gateway.autoscaling.minReplicas) (int $v.gateway.autoscaling.maxReplicas)) }}
{{- end }}
{{- end }}
{{- if $v.bridges.enabled }}
{{- $nodes := list }}
{{- range $v.bridges.nodes }}{{ $nodes = append $nodes .node }}{{ end }}
{{- if not $nodes }}
{{- $wrong = append $wrong "bridges.enabled is true: list the engine nodes in bridges.nodes." }}
{{- end }}
{{- if ne (len $nodes) (len (uniq $nodes)) }}
{{- $wrong = append $wrong "bridges.nodes has a node twice: run one bridge per node." }}
{{- end }}
{{- else if $v.bridges.nodes }}
{{- $wrong = append $wrong "bridges.nodes is set, but has no effect without bridges.enabled." }}
{{- end }}
{{- if $wrong }}
{{- fail (printf "\n\nconference-pipeline: %s\n" (join "\n\nconference-pipeline: " $wrong)) }}
{{- end }}
{{- end }}
