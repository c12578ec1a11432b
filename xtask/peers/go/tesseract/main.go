// A certificate transparency log of static-ct-api on loopback, for Fulcio to submit to.
//
// The packaged main of TesseraCT needs pseudo-versions that the module proxy may not serve; this one needs the library only, and leaves out
// what a log of one test run has no use for: detection of duplicates, remote roots, and waiting for publication.
package main

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"flag"
	"fmt"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/transparency-dev/tessera"
	tposix "github.com/transparency-dev/tessera/storage/posix"
	"github.com/transparency-dev/tesseract"
	"github.com/transparency-dev/tesseract/storage"
	"github.com/transparency-dev/tesseract/storage/posix"
	"golang.org/x/mod/sumdb/note"
)

func main() {
	address := flag.String("address", "127.0.0.1:6962", "where to listen")
	folder := flag.String("folder", "", "where the log is kept")
	key := flag.String("key", "", "file with the log's key: PEM of PKCS #8")
	roots := flag.String("roots", "", "file with the certificates that chains must end in: PEM")
	origin := flag.String("origin", "127.0.0.1", "name of the log")
	flag.Parse()
	if err := serve(*address, *folder, *key, *roots, *origin); err != nil {
		log.Fatal(err)
	}
}

func serve(address, folder, keyFile, roots, origin string) error {
	ctx := context.Background()
	text, err := os.ReadFile(keyFile)
	if err != nil {
		return err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return fmt.Errorf("%s is not PEM", keyFile)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return err
	}
	signer, ok := parsed.(crypto.Signer)
	if !ok {
		return fmt.Errorf("the key in %s does not sign", keyFile)
	}
	// Nothing is fetched without an interval, but the field must be there.
	backup, err := posix.NewRootsStorage(ctx, folder)
	if err != nil {
		return err
	}
	chains := tesseract.ChainValidationConfig{RootsPEMFile: roots, RootsRemoteFetchBackup: backup, ExtKeyUsages: "CodeSigning"}
	create := func(ctx context.Context, signer note.Signer) (*storage.CTStorage, error) {
		return open(ctx, folder, signer)
	}
	options := tesseract.LogHandlerOpts{DedupRL: -1, MaxCertChainBytes: 512 << 10}
	handler, err := tesseract.NewLogHandler(ctx, origin, signer, chains, create, 10*time.Second, false, "", options)
	if err != nil {
		return err
	}
	return http.ListenAndServe(address, handler)
}

func open(ctx context.Context, folder string, signer note.Signer) (*storage.CTStorage, error) {
	driver, err := tposix.New(ctx, tposix.Config{Path: folder})
	if err != nil {
		return nil, err
	}
	options := tessera.NewAppendOptions().
		WithCheckpointSigner(signer).
		WithCTLayout().
		WithCheckpointInterval(200*time.Millisecond).
		WithBatching(1, 10*time.Millisecond)
	appender, _, reader, err := tessera.NewAppender(ctx, driver, options)
	if err != nil {
		return nil, err
	}
	issuers, err := posix.NewIssuerStorage(ctx, folder)
	if err != nil {
		return nil, err
	}
	return storage.NewCTStorage(ctx, &storage.CTStorageOptions{Appender: appender, Reader: reader, IssuerStorage: issuers})
}
