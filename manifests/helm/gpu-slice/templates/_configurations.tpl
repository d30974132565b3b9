{{/* Written once, for the API server and for the keeper, which holds the one against the other.  caBundle is left out, because it has
another owner: who renders it wipes it. */}}
{{- define "gpu-slice.configuration" -}}
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata:
  name: gpu-slice
  labels:
    {{- include "gpu-slice.labels" (dict "root" $ "component" "webhook") | nindent 4 }}
  {{- include "gpu-slice.annotations" . | nindent 2 }}
webhooks:
  - name: pods.gpu-slice.io
    admissionReviewVersions: [v1]
    sideEffects: None         # so `kubectl apply --dry-run=server` shows the resulting pod
    timeoutSeconds: {{ .Values.webhook.timeoutSeconds }}
    failurePolicy: {{ include "gpu-slice.failurePolicy" . }}
    reinvocationPolicy: IfNeeded
    matchPolicy: Equivalent
    rules:
      - apiGroups: [""]
        apiVersions: [v1]
        operations: [CREATE]
        resources: [pods]
        scope: Namespaced
    matchConditions:
      - name: asks-for-a-slice
        expression: has(object.metadata.annotations) && 'gpu-slice' in object.metadata.annotations
      - name: is-no-mirror-pod
        expression: >-
          !has(object.metadata.annotations) || !('kubernetes.io/config.mirror' in object.metadata.annotations)
      - name: is-not-decided-by-a-policy
        expression: >-
          !has(object.metadata.annotations) || !('gpu-slice/decided-by' in object.metadata.annotations)
          || !('gpu-slice' in object.metadata.annotations)
    namespaceSelector:
      matchExpressions:
        {{- include "gpu-slice.namespaces" . | nindent 8 }}
    clientConfig:
      {{- include "gpu-slice.client" (dict "root" $ "path" "/mutate") | nindent 6 }}

  - name: defaults.gpu-slice.io
    admissionReviewVersions: [v1]
    sideEffects: None
    timeoutSeconds: {{ .Values.webhook.timeoutSeconds }}
    failurePolicy: {{ include "gpu-slice.failurePolicy" . }}
    reinvocationPolicy: IfNeeded
    matchPolicy: Equivalent
    rules:
      - apiGroups: [""]
        apiVersions: [v1]
        operations: [CREATE]
        resources: [pods]
        scope: Namespaced
    matchConditions:
      - name: gets-the-default-of-its-namespace
        expression: >-
          has(object.metadata.annotations) && 'gpu-slice/default' in object.metadata.annotations
          || !(has(object.metadata.annotations) && 'gpu-slice' in object.metadata.annotations)
          && (object.spec.containers.exists(c,
          has(c.resources) && has(c.resources.limits) && 'nvidia.com/gpu' in c.resources.limits)
          || has(object.spec.initContainers) && object.spec.initContainers.exists(c,
          has(c.resources) && has(c.resources.limits) && 'nvidia.com/gpu' in c.resources.limits))
      - name: is-no-mirror-pod
        expression: >-
          !has(object.metadata.annotations) || !('kubernetes.io/config.mirror' in object.metadata.annotations)
      - name: is-not-decided-by-a-policy
        expression: >-
          !has(object.metadata.annotations) || !('gpu-slice/decided-by' in object.metadata.annotations)
          || !('gpu-slice' in object.metadata.annotations)
    namespaceSelector:
      matchExpressions:
        - key: gpu-slice/default
          operator: Exists
        {{- include "gpu-slice.namespaces" . | nindent 8 }}
    clientConfig:
      {{- include "gpu-slice.client" (dict "root" $ "path" "/mutate") | nindent 6 }}
{{- end }}

{{- define "gpu-slice.advice" -}}
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata:
  name: gpu-slice-advice
  labels:
    {{- include "gpu-slice.labels" (dict "root" $ "component" "webhook") | nindent 4 }}
  {{- include "gpu-slice.annotations" . | nindent 2 }}
webhooks:
  - name: workloads.gpu-slice.io
    admissionReviewVersions: [v1]
    sideEffects: None
    timeoutSeconds: 1         # whoever applies a workload waits this long for a node that is lost
    failurePolicy: Ignore
    matchPolicy: Equivalent
    rules:
      - {apiGroups: [apps], apiVersions: [v1], operations: &changes [CREATE, UPDATE], scope: Namespaced,
         resources: [deployments, statefulsets, daemonsets, replicasets]}
      - {apiGroups: [batch], apiVersions: [v1], operations: *changes, scope: Namespaced, resources: [jobs, cronjobs]}
      - {apiGroups: [""], apiVersions: [v1], operations: *changes, scope: Namespaced,
         resources: [replicationcontrollers]}
      - {apiGroups: [apps.openshift.io], apiVersions: ["*"], operations: *changes, scope: Namespaced,
         resources: [deploymentconfigs]}
      - {apiGroups: [argoproj.io], apiVersions: ["*"], operations: *changes, scope: Namespaced, resources: [rollouts]}
      - {apiGroups: [apps.kruise.io], apiVersions: ["*"], operations: *changes, scope: Namespaced,
         resources: [clonesets, statefulsets, daemonsets]}
      - {apiGroups: [serving.knative.dev], apiVersions: ["*"], operations: *changes, scope: Namespaced,
         resources: [services, configurations]}
      - {apiGroups: [kubeflow.org], apiVersions: ["*"], operations: *changes, scope: Namespaced, resources: [notebooks]}
    matchConditions:
      - name: names-gpu-slice
        expression: >-
          [object.?metadata, object.?spec.?template.?metadata, object.?spec.?jobTemplate.?metadata,
          object.?spec.?jobTemplate.?spec.?template.?metadata].exists(m,
          [m.?annotations, m.?labels].exists(keys, 'gpu-slice' in keys.orValue({})))
      - &has-no-controller
        name: has-no-controller
        expression: "!object.metadata.?ownerReferences.orValue([]).exists(o, o.?controller.orValue(false))"
      - &is-written-or-changed
        name: is-written-or-changed
        expression: >-
          request.operation == 'CREATE' || object.?spec != oldObject.?spec
          || object.metadata.?annotations != oldObject.metadata.?annotations
          || object.metadata.?labels != oldObject.metadata.?labels
    namespaceSelector: &namespaces
      matchExpressions:
        {{- include "gpu-slice.namespaces" . | nindent 8 }}
    clientConfig: &client
      {{- include "gpu-slice.client" (dict "root" $ "path" "/advise") | nindent 6 }}

  - name: groups.gpu-slice.io
    admissionReviewVersions: [v1]
    sideEffects: None
    timeoutSeconds: 1
    failurePolicy: Ignore
    matchPolicy: Equivalent
    rules:
      - {apiGroups: [batch.volcano.sh], apiVersions: ["*"], operations: *changes, scope: Namespaced, resources: [jobs]}
      - {apiGroups: [jobset.x-k8s.io], apiVersions: ["*"], operations: *changes, scope: Namespaced, resources: [jobsets]}
      - {apiGroups: [kubeflow.org], apiVersions: ["*"], operations: *changes, scope: Namespaced,
         resources: [jaxjobs, mpijobs, paddlejobs, pytorchjobs, tfjobs, xgboostjobs]}
      - {apiGroups: [leaderworkerset.x-k8s.io], apiVersions: ["*"], operations: *changes, scope: Namespaced,
         resources: [leaderworkersets]}
      - {apiGroups: [ray.io], apiVersions: ["*"], operations: *changes, scope: Namespaced,
         resources: [rayclusters, rayjobs, rayservices]}
    matchConditions:
      - name: names-gpu-slice
        expression: >-
          ([[object.?metadata, object.?spec.?submitterPodTemplate.?metadata,
          object.?spec.?leaderWorkerTemplate.?leaderTemplate.?metadata,
          object.?spec.?leaderWorkerTemplate.?workerTemplate.?metadata],
          object.?spec.?tasks.orValue([]).map(t, t.?template.?metadata),
          object.?spec.?replicatedJobs.orValue([]).map(j, j.?template.?metadata),
          object.?spec.?replicatedJobs.orValue([]).map(j, j.?template.?spec.?template.?metadata)]
          + [object.?spec, object.?spec.?rayClusterSpec, object.?spec.?rayClusterConfig].map(s,
          [s.?headGroupSpec.?template.?metadata] + s.?workerGroupSpecs.orValue([]).map(g, g.?template.?metadata))
          + ['jax', 'mpi', 'paddle', 'pytorch', 'tf', 'xgb'].map(k, object.?spec[?k + 'ReplicaSpecs'].orValue({})).map(r,
          r.map(k, r[k].?template.?metadata))).exists(ms, ms.exists(m,
          [m.?annotations, m.?labels].exists(keys, 'gpu-slice' in keys.orValue({}))))
      - *has-no-controller
      - *is-written-or-changed
    namespaceSelector: *namespaces
    clientConfig: *client
{{- end }}
