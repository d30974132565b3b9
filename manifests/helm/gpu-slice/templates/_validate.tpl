{{/* Values that contradict each other end the rendering with a sentence: what is wrong, and what to write instead. */}}
{{- define "gpu-slice.validate" -}}
{{- $values := .Values -}}
{{- $certificates := $values.certificates -}}
{{- $budget := $values.podDisruptionBudget -}}
{{- $scaling := $values.autoscaling -}}
{{- $replicas := int (ternary $scaling.minReplicas $values.replicas $scaling.enabled) -}}
{{- range $path, $image := dict "image" $values.image "keeper.image" ($values.keeper.image | default dict) -}}
{{- $repository := $image.repository | default "" -}}
{{- if or (contains "@" $repository) (contains ":" (last (splitList "/" $repository))) -}}
{{- fail (printf "%s.repository: '%s' has a tag or a digest. Write it as %s.tag or %s.digest." $path $repository $path $path) -}}
{{- end -}}
{{- end -}}
{{- if eq (int $values.webhook.port) 8080 -}}
{{- fail "webhook.port: 8080 is the port of health and metrics. Write another one, such as 10250." -}}
{{- end -}}
{{- if and (ne $certificates.mode "secret") $certificates.secretName -}}
{{- fail (printf "certificates.secretName: '%s' is for certificates.mode secret, and the mode is %s. Leave it out, or set the mode." $certificates.secretName $certificates.mode) -}}
{{- end -}}
{{- if and (ne $certificates.mode "cert-manager") $certificates.issuerRef -}}
{{- fail (printf "certificates.issuerRef: it is for certificates.mode cert-manager, and the mode is %s. Leave it out, or set the mode." $certificates.mode) -}}
{{- end -}}
{{- if and $certificates.issuerRef (not $certificates.issuerRef.name) -}}
{{- fail "certificates.issuerRef: it has no name. Write {kind: ClusterIssuer, name: NAME}." -}}
{{- end -}}
{{- if and $values.guard.enabled (has "Deny" $values.guard.validationActions) -}}
{{- if eq $values.webhook.failurePolicy "Ignore" -}}
{{- fail "webhook.failurePolicy: Ignore has no effect beside the guard, which refuses the pods that the webhook did not see. Set guard.validationActions to [Warn, Audit] too." -}}
{{- end -}}
{{- if has "Warn" $values.guard.validationActions -}}
{{- fail "guard.validationActions: the API server takes Deny or Warn, not both. Write one of them." -}}
{{- end -}}
{{- end -}}
{{- if $budget.enabled -}}
{{- $most := toString $budget.maxUnavailable -}}
{{- $least := toString $budget.minAvailable -}}
{{- $hasMost := not (kindIs "invalid" $budget.maxUnavailable) -}}
{{- $hasLeast := not (kindIs "invalid" $budget.minAvailable) -}}
{{- if and $hasMost $hasLeast -}}
{{- fail (printf "podDisruptionBudget: maxUnavailable is %s and minAvailable is %s, and Kubernetes takes only one. Set the other one to null." $most $least) -}}
{{- end -}}
{{- if not (or $hasMost $hasLeast) -}}
{{- fail "podDisruptionBudget: neither maxUnavailable nor minAvailable is set. Set one, or set podDisruptionBudget.enabled to false." -}}
{{- end -}}
{{- if and $hasMost (has $most (list "0" "0%")) -}}
{{- fail (printf "podDisruptionBudget.maxUnavailable: with %s, no node of the webhook can be drained. Write 1." $most) -}}
{{- end -}}
{{- if and $hasLeast (or (eq $least "100%") (and (regexMatch "^[0-9]+$" $least) (ge (int $least) $replicas))) -}}
{{- fail (printf "podDisruptionBudget.minAvailable: with %s of %d replicas, no node of the webhook can be drained. Write less than %s." $least $replicas (ternary "autoscaling.minReplicas" "replicas" $scaling.enabled)) -}}
{{- end -}}
{{- end -}}
{{- if $scaling.enabled -}}
{{- if lt $replicas (int $values.replicas) -}}
{{- fail (printf "autoscaling.minReplicas: %d is less than replicas, %d, which are needed without any load. Write at least as many, or lower replicas too." $replicas (int $values.replicas)) -}}
{{- end -}}
{{- if lt (int $scaling.maxReplicas) $replicas -}}
{{- fail (printf "autoscaling.maxReplicas: %d is less than minReplicas, %d. Write at least as many." (int $scaling.maxReplicas) $replicas) -}}
{{- end -}}
{{- end -}}
{{- if and $values.podMonitor.enabled $values.serviceMonitor.enabled -}}
{{- fail "podMonitor.enabled: with serviceMonitor.enabled, each pod would be scraped twice. Enable one of them." -}}
{{- end -}}
{{- if and (or $values.podMonitor.enabled $values.serviceMonitor.enabled) $values.networkPolicy.enabled (not $values.networkPolicy.scrapers) -}}
{{- fail "networkPolicy.scrapers: it is empty, so nobody could scrape what a monitor is enabled for. Name the namespace of your Prometheus." -}}
{{- end -}}
{{- end }}
