// Verifies with sigstore-go, as a program does that embeds it: images in a registry, or bundles in a folder.
package main

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"
)

const bundleLimit = 1 << 20

// sigstore-go image TRUSTED_ROOT ISSUER IDENTITY REFERENCE
// sigstore-go stored TRUSTED_ROOT ISSUER IDENTITY FOLDER ROUNDS
func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) < 5 {
		return errors.New("too few arguments")
	}
	verifier, identity, err := prepare(args[1], args[2], args[3])
	if err != nil {
		return err
	}
	switch {
	case args[0] == "image":
		return image(verifier, identity, args[4])
	case args[0] == "stored" && len(args) == 6:
		return stored(verifier, identity, args[4], args[5])
	}
	return errors.New("image or stored")
}

func prepare(trustedRoot, issuer, san string) (*verify.Verifier, verify.CertificateIdentity, error) {
	var identity verify.CertificateIdentity
	trusted, err := root.NewTrustedRootFromPath(trustedRoot)
	if err != nil {
		return nil, identity, err
	}
	verifier, err := verify.NewVerifier(trusted, verify.WithSignedCertificateTimestamps(1),
		verify.WithTransparencyLog(1), verify.WithObserverTimestamps(1))
	if err != nil {
		return nil, identity, err
	}
	identity, err = verify.NewShortCertificateIdentity(issuer, "", san, "")
	return verifier, identity, err
}

// The first bundle that verifies is enough.
func image(verifier *verify.Verifier, identity verify.CertificateIdentity, text string) error {
	reference, err := name.ParseReference(text, name.Insecure)
	if err != nil {
		return err
	}
	puller, err := remote.NewPuller()
	if err != nil {
		return err
	}
	described, err := remote.Head(reference, remote.Reuse(puller))
	if err != nil {
		return err
	}
	digest := reference.Context().Digest(described.Digest.String())
	index, err := remote.Referrers(digest, remote.Reuse(puller))
	if err != nil {
		return err
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		return err
	}
	for _, referrer := range manifest.Manifests {
		if !strings.HasPrefix(referrer.ArtifactType, "application/vnd.dev.sigstore.bundle") {
			continue
		}
		text, err := fetch(puller, digest, referrer)
		if err != nil {
			return err
		}
		if one(verifier, identity, text, described.Digest.Hex) == nil {
			return nil
		}
	}
	return errors.New("no bundle verifies")
}

func fetch(puller *remote.Puller, subject name.Digest, referrer v1.Descriptor) ([]byte, error) {
	attached, err := remote.Image(subject.Context().Digest(referrer.Digest.String()), remote.Reuse(puller))
	if err != nil {
		return nil, err
	}
	layers, err := attached.Layers()
	if err != nil {
		return nil, err
	}
	if len(layers) != 1 {
		return nil, errors.New("not one layer")
	}
	reader, err := layers[0].Uncompressed()
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	return io.ReadAll(io.LimitReader(reader, bundleLimit))
}

func one(verifier *verify.Verifier, identity verify.CertificateIdentity, text []byte, digest string) error {
	var parsed bundle.Bundle
	if err := parsed.UnmarshalJSON(text); err != nil {
		return err
	}
	bytes, err := hex.DecodeString(digest)
	if err != nil {
		return err
	}
	policy := verify.NewPolicy(verify.WithArtifactDigest("sha256", bytes), verify.WithCertificateIdentity(identity))
	_, err = verifier.Verify(&parsed, policy)
	return err
}

// The files are called DIGEST.json or DIGEST-ANYTHING.json.
func stored(verifier *verify.Verifier, identity verify.CertificateIdentity, folder, rounds string) error {
	count, err := strconv.Atoi(rounds)
	if err != nil {
		return err
	}
	paths, err := filepath.Glob(filepath.Join(folder, "*.json"))
	if err != nil || len(paths) == 0 {
		return errors.Join(err, errors.New("no bundles"))
	}
	texts := map[string][]byte{}
	for _, path := range paths {
		if texts[path], err = os.ReadFile(path); err != nil {
			return err
		}
	}
	runtime.GOMAXPROCS(1)
	started := time.Now()
	for range count {
		for _, path := range paths {
			digest := strings.TrimSuffix(filepath.Base(path), ".json")
			digest, _, _ = strings.Cut(digest, "-")
			if err := one(verifier, identity, texts[path], digest); err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
		}
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]any{
		"verified": count * len(paths),
		"seconds":  time.Since(started).Seconds(),
	})
}
