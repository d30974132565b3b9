{{/* Labels of an object: {root: $, component: …}. */}}
{{- define "gpu-slice.labels" -}}
{{ include "gpu-slice.selector" .component }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- with .root.Values.additionalLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Labels by which pods are selected.  They never change: the selector of a Deployment cannot. */}}
{{- define "gpu-slice.selector" -}}
app.kubernetes.io/name: gpu-slice
app.kubernetes.io/component: {{ . }}
{{- end }}

{{/* The name of an image: {root: $, image: its values, repository: its default}. */}}
{{- define "gpu-slice.image" -}}
{{ .image.repository | default .repository }}
{{- if .image.digest -}}
{{ with .image.tag }}:{{ . }}{{ end }}@{{ .image.digest }}
{{- else -}}
:{{ .image.tag | default .root.Values.image.tag | default .root.Chart.AppVersion }}
{{- end -}}
{{- end }}

{{/* What the webhook and the keeper have in common in the metadata of their pods: {root: $, component: …}. */}}
{{- define "gpu-slice.podMetadata" -}}
labels:
  {{- include "gpu-slice.selector" .component | nindent 2 }}
  {{- with .root.Values.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .root.Values.podAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* What they have in common in their spec. */}}
{{- define "gpu-slice.podSpec" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* What the two containers have in common; it takes what the name of the image does. */}}
{{- define "gpu-slice.container" -}}
image: {{ include "gpu-slice.image" . }}
{{- with .root.Values.image.pullPolicy }}
imagePullPolicy: {{ . }}
{{- end }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end }}

{{- define "gpu-slice.tlsSecret" -}}
{{ .Values.certificates.secretName | default "webhook-tls" }}
{{- end }}

{{/* Pods that the cluster and the webhook need to recover from an outage must not wait for the webhook. */}}
{{- define "gpu-slice.namespaces" -}}
- key: kubernetes.io/metadata.name
  operator: NotIn
  values: {{ list .Release.Namespace "kube-system" | uniq | toJson }}
- key: gpu-slice/opt-out
  operator: DoesNotExist
{{- end }}

{{/* What of the fleet is in shadow, as JSON: shadow, whether anything is; guard, where pods may be refused all the same, as a label
selector's operator and values; null for nowhere, because a policy does not know the pool of a pod. */}}
{{- define "gpu-slice.shadow" -}}
{{- $fleet := .Values.fleet -}}
{{- $mode := $fleet.mode | default "enforce" -}}
{{- $modes := dict -}}
{{- range $name, $entry := $fleet.namespaces | default dict -}}
{{- $_ := set $modes $name (($entry | default dict).mode | default $mode) -}}
{{- end -}}
{{- $others := get $modes "*" | default $mode -}}
{{- $different := list -}}
{{- range $name, $own := unset $modes "*" -}}
{{- if ne $own $others -}}{{- $different = append $different $name -}}{{- end -}}
{{- end -}}
{{- $pools := false -}}
{{- range $fleet.pools | default list -}}
{{- if and (eq (.mode | default ($fleet.defaults | default dict).mode | default "enforce") "shadow") (not .retired) -}}{{- $pools = true -}}{{- end -}}
{{- end -}}
{{- $operator := ternary "NotIn" "In" (eq $others "enforce") -}}
{{- $nowhere := or $pools (and (eq $others "shadow") (not $different)) -}}
{{- dict "shadow" (or $pools (eq $others "shadow") (gt (len $different) 0)) "guard" (ternary nil (dict "operator" $operator "values" (sortAlpha $different)) $nowhere) | toJson -}}
{{- end }}

{{/* In shadow, a pod is not refused because nobody answers either. */}}
{{- define "gpu-slice.failurePolicy" -}}
{{ ternary "Ignore" .Values.webhook.failurePolicy (include "gpu-slice.shadow" . | fromJson).shadow }}
{{- end }}

{{- define "gpu-slice.client" -}}
service:
  namespace: {{ .root.Release.Namespace }}
  name: webhook
  port: 443
  path: {{ .path }}
{{- end }}

{{/* Annotations of both webhook configurations. */}}
{{- define "gpu-slice.annotations" -}}
{{- $annotations := .Values.webhook.annotations | default dict }}
{{- if eq .Values.certificates.mode "cert-manager" }}
{{- $annotations = merge (dict "cert-manager.io/inject-ca-from" (printf "%s/webhook" .Release.Namespace)) $annotations }}
{{- end }}
{{- with $annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Who may scrape. */}}
{{- define "gpu-slice.scrapers" -}}
{{- with .Values.networkPolicy.scrapers }}
- from:
    {{- range . }}
    - namespaceSelector:
        matchLabels:
          kubernetes.io/metadata.name: {{ . }}
    {{- end }}
  ports:
    - port: 8080
      protocol: TCP
{{- end }}
{{- end }}
