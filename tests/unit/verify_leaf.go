// Verifies a leaf as the API server does: crypto/x509, a root pool made of the caBundle, and the Service's name.
// Arguments: the authority's file, the leaf's file, the name.  Prints "verified", or the reason on stderr.
package main

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
)

func main() {
	if err := verify(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("verified")
}

func verify(authorityFile, leafFile, name string) error {
	authority, err := os.ReadFile(authorityFile)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(authority) {
		return fmt.Errorf("%s: no certificate in it", authorityFile)
	}
	text, err := os.ReadFile(leafFile)
	if err != nil {
		return err
	}
	block, _ := pem.Decode(text)
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return err
	}
	_, err = leaf.Verify(x509.VerifyOptions{
		DNSName:   name,
		Roots:     roots,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	return err
}
