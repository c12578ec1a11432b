// Serves go-containerregistry's registry, in memory, with its referrers API: it announces no OCI-Subject and lists
// every referrer with the media type of its config, which is what some registries in the field do.
package main

import (
	"log"
	"net/http"
	"os"

	"github.com/google/go-containerregistry/pkg/registry"
)

// The address to listen on is the one argument.
func main() {
	handler := registry.New(registry.WithReferrersSupport(true))
	log.Fatal(http.ListenAndServe(os.Args[1], handler))
}
