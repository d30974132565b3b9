// Examples, written with what this fleet offers.

const pod = (slice, name = "notebook") => `apiVersion: v1
kind: Pod
metadata:
  name: ${name}
  annotations:
    gpu-slice: ${slice}
spec:
  containers:
    - name: main
      image: nvidia/cuda:12.8.0-base-ubuntu24.04
      command: [nvidia-smi, -L]
`;

const deployment = (slice, name) => `apiVersion: apps/v1
kind: Deployment
metadata:
  name: ${name}
spec:
  replicas: 3
  selector:
    matchLabels: {app: ${name}}
  template:
    metadata:
      labels: {app: ${name}}
      annotations:
        gpu-slice: ${slice}
    spec:
      containers:
        - name: server
          image: example/${name}:1
          resources:
            limits: {memory: 8Gi}
`;

const two = (slice) => `apiVersion: v1
kind: Pod
metadata:
  name: two-containers
  annotations:
    gpu-slice: trainer=${slice},eval=${slice}
spec:
  restartPolicy: Never
  containers:
    - name: trainer
      image: example/trainer:1
    - name: eval
      image: example/eval:1
`;

const chart = (slice) => `${pod(slice, "rescued")}      resources:
        limits:
          nvidia.com/gpu: 1
`;

// The examples for a fleet: a name, and the text.  `slices` is the fleet's menu.
export function examples(slices) {
  const mig = slices.filter((row) => row.slice !== "shared");
  const first = (mig[0] || slices[0] || { slice: "1g.5gb" }).slice;
  const last = (mig.at(-1) || slices.at(-1) || { slice: first }).slice;
  const list = [["One slice", pod(first)], ["A Deployment", deployment(first, "inference")]];
  if (mig.length) {
    list.push(["Two containers", two(first)], ["A fraction of a GPU", pod("1/7")], ["An alternative", pod(`7g.40gb | ${last}`)]);
  }
  if (slices.some((row) => row.slice === "shared")) list.push(["A shared GPU", pod("shared")]);
  if (mig.length) list.push(["A chart that asks for a whole GPU", chart(first)], ["A typing mistake", pod(first.replace(".", ""), "wrong")]);
  list.push(["Several documents", [pod(first), deployment(last, "api"), pod("8g.80gb", "denied")].join("---\n")]);
  return list;
}
