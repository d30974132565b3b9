//go:build crds

// Package crds is never built: it keeps the modules whose custom resource definitions the tests read.
package crds

import (
	_ "github.com/aws/karpenter-provider-aws/pkg/apis"
	_ "sigs.k8s.io/karpenter/kwok/apis"
	_ "sigs.k8s.io/karpenter/pkg/apis"
)
