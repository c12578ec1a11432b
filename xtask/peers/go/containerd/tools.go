//go:build tools

// Package tools names the programs that are built, so that they are among the requirements of this module: containerd's own go.mod excludes
// versions, which `go install` does not take.
package tools

import (
	_ "github.com/containerd/containerd/v2/cmd/containerd"
	_ "github.com/containerd/containerd/v2/cmd/ctr"
)
