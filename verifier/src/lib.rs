//! Verifies that an OCI image came out of your own release job
