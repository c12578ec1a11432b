use std::sync::{Arc, Mutex};

use countersign_oci::http::ClientCertificate;
use countersign_oci::{Class, PinnedReference, Pusher, Registry, RegistryError, Secret};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig};
use sandbox::Action;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::support::{World, header, patient_options};

type Issuer = CertifiedIssuer<'static, KeyPair>;

fn certificate_authority() -> Issuer {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// Puts TLS in front of a sandbox's registry and returns its port.
async fn in_front_of(world: &World, issuer: &Issuer, name: &str, expired: bool) -> u16 {
    Front { world, issuer, name, expired, clients: None, shown: Shown::default() }.start().await
}

/// Whether the clients of each connection showed a certificate.
type Shown = Arc<Mutex<Vec<bool>>>;

struct Front<'a> {
    world: &'a World,
    issuer: &'a Issuer,
    name: &'a str,
    expired: bool,
    /// Who vouches for clients, where they are asked for a certificate, and whether they need one.
    clients: Option<(&'a Issuer, bool)>,
    shown: Shown,
}

impl Front<'_> {
    fn clients(&self, provider: &Arc<CryptoProvider>) -> Arc<dyn ClientCertVerifier> {
        let Some((issuer, needed)) = self.clients else { return WebPkiClientVerifier::no_client_auth() };
        let mut roots = RootCertStore::empty();
        roots.add(issuer.der().clone()).unwrap();
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
        if needed { builder.build().unwrap() } else { builder.allow_unauthenticated().build().unwrap() }
    }

    async fn start(self) -> u16 {
        let Self { world, issuer, name, expired, .. } = self;
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        if expired {
            params.not_after = date_time_ymd(2020, 1, 1);
        }
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, issuer).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(self.clients(&provider))
            .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (registry, shown) = (world.sandbox.registry().host().to_owned(), self.shown);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (acceptor, registry, shown) = (acceptor.clone(), registry.clone(), shown.clone());
                tokio::spawn(async move {
                    let Ok(mut client) = acceptor.accept(client).await else { return };
                    shown.lock().unwrap().push(client.get_ref().1.peer_certificates().is_some());
                    let mut registry = TcpStream::connect(registry).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut registry).await;
                });
            }
        });
        port
    }
}

/// A certificate of a client, and its key.
fn client_certificate(issuer: &Issuer) -> ClientCertificate {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(Vec::new()).unwrap().signed_by(&key, issuer).unwrap();
    ClientCertificate { chain: certificate.pem().into_bytes(), key: Secret::new(key.serialize_pem()) }
}

/// A client that shows a certificate to `certified`, and knows several registries by name.
fn certified_client(
    ports: &[(&str, u16)],
    trusted: &Issuer,
    certified: u16,
    certificate: ClientCertificate,
) -> Registry {
    let mut options = patient_options();
    for (name, port) in ports {
        options.hosts.insert((*name).to_owned(), format!("https://localhost:{port}"));
    }
    options.ca_certificates = vec![trusted.pem().into_bytes()];
    options.client_certificates.insert(format!("localhost:{certified}"), certificate);
    Registry::new(options).unwrap()
}

/// Another client, to which the registry is known as `r.example`, behind TLS.
fn client(port: u16, trusted: &[&Issuer]) -> Registry {
    let mut options = patient_options();
    options.hosts.insert("r.example".to_owned(), format!("https://localhost:{port}"));
    options.ca_certificates = trusted.iter().map(|issuer| issuer.pem().into_bytes()).collect();
    Registry::new(options).unwrap()
}

fn named(pinned: &PinnedReference) -> PinnedReference {
    format!("r.example/octo/app@{}", pinned.digest()).parse().unwrap()
}

#[tokio::test]
async fn a_server_that_the_operator_trusts_is_spoken_to() {
    let (world, issuer) = (World::new(), certificate_authority());
    let pinned = world.put_index("v1");
    let port = in_front_of(&world, &issuer, "localhost", false).await;
    let other = certificate_authority();
    assert!(client(port, &[&other, &issuer]).manifest(&named(&pinned)).await.is_ok());
}

#[tokio::test]
async fn a_server_that_nobody_vouches_for_is_refused_once() {
    let (world, issuer, other) = (World::new(), certificate_authority(), certificate_authority());
    let pinned = world.put_index("v1");
    let good = in_front_of(&world, &issuer, "localhost", false).await;
    let misnamed = in_front_of(&world, &issuer, "other.example", false).await;
    let expired = in_front_of(&world, &issuer, "localhost", true).await;
    for (what, port, trusted) in [
        ("unknown", good, &[][..]),
        ("of another authority", good, &[&other]),
        ("of another name", misnamed, &[&issuer]),
        ("expired", expired, &[&issuer]),
    ] {
        let registry = client(port, trusted);
        let error = registry.manifest(&named(&pinned)).await.unwrap_err();
        assert!(matches!(error, RegistryError::Certificate { .. }), "{what}: {error:?}");
        assert_eq!((error.class(), error.retryable()), (Class::Unreachable, false), "{what}");
        assert_eq!(registry.request_count(), 1, "{what}");
    }
    assert!(world.requests().is_empty());
}

#[tokio::test]
async fn https_is_never_left() {
    let (world, issuer) = (World::new(), certificate_authority());
    world.sandbox.registry().set_inline_uploads(false);
    let pinned = world.put_index("v1");
    let port = in_front_of(&world, &issuer, "localhost", false).await;
    let plain = world.sandbox.registry().url();
    let _redirect = world.fault("/manifests/", Action::Redirect(format!("{plain}/v2/octo/app/manifests/v1")));
    let registry = client(port, &[&issuer]);
    assert_eq!(registry.manifest(&named(&pinned)).await.unwrap_err().code(), "redirect-refused");
    let _upload = world.fault("/blobs/uploads", header("Location", &format!("http://localhost:{port}/v2/x")));
    let pusher = countersign_oci::Pusher::new(registry);
    let error = pusher.prove_write(named(&pinned).repository()).await.unwrap_err();
    assert_eq!(error.code(), "upload-location");
    assert_eq!(world.requests().len(), 2);
}

#[tokio::test]
async fn a_registry_that_asks_for_a_certificate_is_shown_it() {
    let (world, issuer, clients) = (World::new(), certificate_authority(), certificate_authority());
    let pinned = world.put_index("v1");
    let shown = Shown::default();
    let front = Front {
        world: &world,
        issuer: &issuer,
        name: "localhost",
        expired: false,
        clients: Some((&clients, true)),
        shown: shown.clone(),
    };
    let port = front.start().await;
    let registry = certified_client(&[("r.example", port)], &issuer, port, client_certificate(&clients));
    assert!(registry.manifest(&named(&pinned)).await.is_ok());
    assert!(Pusher::new(registry).prove_write(named(&pinned).repository()).await.is_ok());
    assert!(shown.lock().unwrap().iter().all(|shown| *shown));
    // Without it, and with somebody else's, the server says no, once.
    let stranger = certified_client(&[("r.example", port)], &issuer, port, client_certificate(&issuer));
    for registry in [client(port, &[&issuer]), stranger] {
        let error = registry.manifest(&named(&pinned)).await.unwrap_err();
        assert!(matches!(error, RegistryError::ClientCertificate { .. }), "{error:?}");
        assert_eq!((error.class(), error.retryable(), registry.request_count()), (Class::Denied, false, 1));
    }
}

#[tokio::test]
async fn a_certificate_is_shown_to_its_registry_only() {
    let (world, storage, issuer) = (World::new(), World::new(), certificate_authority());
    let pinned = world.put_index("v1");
    let descriptor = world.put_blob("layer");
    storage.put_blob("layer");
    let asking = |world| {
        let shown = Shown::default();
        let (issuer, clients) = (&issuer, Some((&issuer, false)));
        let front = Front { world, issuer, name: "localhost", expired: false, clients, shown: shown.clone() };
        (front, shown)
    };
    let ((own, shown_to_own), (other, shown_to_other)) = (asking(&world), asking(&storage));
    let (own, other) = (own.start().await, other.start().await);
    let ports = [("r.example", own), ("s.example", other)];
    let registry = certified_client(&ports, &issuer, own, client_certificate(&issuer));
    assert!(registry.manifest(&named(&pinned)).await.is_ok());
    let path = format!("/v2/octo/app/blobs/{}", descriptor.digest);
    let _redirect = world.fault("/blobs/", Action::Redirect(format!("https://localhost:{other}{path}")));
    assert_eq!(registry.blob(named(&pinned).repository(), &descriptor, 10).await.unwrap(), "layer");
    let elsewhere = "s.example/octo/app".parse().unwrap();
    assert_eq!(registry.blob(&elsewhere, &descriptor, 10).await.unwrap(), "layer");
    let all = |shown: &Shown, expected: bool| shown.lock().unwrap().iter().all(|one| *one == expected);
    assert!(all(&shown_to_own, true) && all(&shown_to_other, false));
    assert!(!shown_to_other.lock().unwrap().is_empty());
}

#[test]
fn a_certificate_without_its_key_is_an_error_when_the_client_is_built() {
    let issuer = certificate_authority();
    let (good, other) = (client_certificate(&issuer), client_certificate(&issuer));
    let key = |text: &str| Secret::new(text.to_owned());
    for (chain, key) in [
        (good.chain.clone(), other.key),
        (good.chain.clone(), key("canary")),
        (good.chain, key("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n")),
        (b"canary".to_vec(), good.key),
    ] {
        let mut options = patient_options();
        options.client_certificates.insert("r.example".to_owned(), ClientCertificate { chain, key });
        let error = Registry::new(options).unwrap_err();
        assert_eq!((error.class(), error.code()), (Class::Usage, "client-certificate"));
        assert!(!format!("{error:?}").contains("canary"));
    }
}
