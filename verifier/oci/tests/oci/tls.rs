use std::sync::Arc;

use countersign_oci::{Class, PinnedReference, Registry, RegistryError};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
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
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    if expired {
        params.not_after = date_time_ymd(2020, 1, 1);
    }
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, issuer).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let registry = world.sandbox.registry().host().to_owned();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (acceptor, registry) = (acceptor.clone(), registry.clone());
            tokio::spawn(async move {
                let Ok(mut client) = acceptor.accept(client).await else { return };
                let mut registry = TcpStream::connect(registry).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut client, &mut registry).await;
            });
        }
    });
    port
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
