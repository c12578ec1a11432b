//! Keyless signing of an OCI image index and every manifest in it
