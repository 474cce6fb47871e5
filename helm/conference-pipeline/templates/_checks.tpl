{{- /* Fail the rendering when values are inconsistent, with an error that names the value to set. */}}
{{- define "cp.checks" -}}
{{- $v := .Values }}
{{- $sasl := hasPrefix "SASL_" $v.kafka.securityProtocol }}
{{- $tls := hasSuffix "SSL" $v.kafka.securityProtocol }}
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
{{- if and $sasl (not $v.kafka.sasl.existingSecret) }}
{{- $wrong = append $wrong (printf "kafka.securityProtocol is %s: set kafka.sasl.existingSecret to the name of the secret with the password." $v.kafka.securityProtocol) }}
{{- end }}
{{- if and $sasl (not $v.kafka.sasl.username) (not $v.kafka.sasl.usernameKey) }}
{{- $wrong = append $wrong (printf "kafka.securityProtocol is %s: set kafka.sasl.username, or kafka.sasl.usernameKey if the secret contains it." $v.kafka.securityProtocol) }}
{{- end }}
{{- if and $v.kafka.sasl.existingSecret (not $sasl) }}
{{- $wrong = append $wrong (printf "kafka.sasl.existingSecret is set, but kafka.securityProtocol is %s, which has no SASL: set the protocol to SASL_SSL or SASL_PLAINTEXT." $v.kafka.securityProtocol) }}
{{- end }}
{{- if and (or $v.kafka.tls.caSecret $v.kafka.tls.clientSecret) (not $tls) }}
{{- $wrong = append $wrong (printf "kafka.tls names a secret, but kafka.securityProtocol is %s, which has no TLS: set the protocol to SSL or SASL_SSL." $v.kafka.securityProtocol) }}
{{- end }}
{{- if and (ne $v.registry.auth.type "none") (not $v.registry.auth.existingSecret) }}
{{- $wrong = append $wrong (printf "registry.auth.type is %s: set registry.auth.existingSecret to the name of the secret with the credentials." $v.registry.auth.type) }}
{{- end }}
{{- if and $v.registry.auth.existingSecret (eq $v.registry.auth.type "none") }}
{{- $wrong = append $wrong "registry.auth.existingSecret is set, but registry.auth.type is none: set the type to basic or bearer." }}
{{- end }}
{{- if and (or $v.strimzi.topics.enabled $v.strimzi.user.enabled) (not $v.strimzi.cluster) }}
{{- $wrong = append $wrong "strimzi.cluster is empty: set it to the name of your Kafka resource." }}
{{- end }}
{{- if and (or $v.strimzi.topics.enabled $v.strimzi.user.enabled) (eq $v.setup.mode "hook") }}
{{- $wrong = append $wrong "setup.mode is hook, which runs before the KafkaTopics and the KafkaUser exist: set setup.mode to job." }}
{{- end }}
{{- if $wrong }}
{{- fail (printf "\n\nconference-pipeline: %s\n" (join "\n\nconference-pipeline: " $wrong)) }}
{{- end }}
{{- end }}
