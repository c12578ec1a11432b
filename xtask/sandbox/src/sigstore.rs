//! The Sigstore services together, with the documents that say where and who they are.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::certificate::Window;
use crate::exchange::{Call, Reply};
use crate::fulcio::Fulcio;
use crate::log::Service;
use crate::oidc::{Issuer, Oidc};
use crate::rekor_v1::RekorV1;
use crate::rekor_v2::RekorV2;
use crate::run::Options;
use crate::trust::{self, RekorVersion, Urls};
use crate::tsa::Tsa;
use crate::tuf::TufRepository;

pub(crate) struct Sigstore {
    pub(crate) oidc: Oidc,
    pub(crate) fulcio: Fulcio,
    pub(crate) rekor_v1: RekorV1,
    pub(crate) rekor_v2: RekorV2,
    pub(crate) tsa: Tsa,
    pub(crate) tuf: TufRepository,
    pub(crate) trusted_root: String,
    signing_configs: [String; 2],
}

impl Sigstore {
    pub(crate) fn new(options: &Options, at: &BTreeMap<Service, String>) -> anyhow::Result<Sigstore> {
        let Options { clock, keys, .. } = options;
        let now = clock.now();
        let since = now - options.valid_before_start;
        let window = Window::of_authority(since);
        let oidc = Oidc::new(at[&Service::Oidc].clone(), clock.clone())?;
        let fulcio = Fulcio::new(keys, clock.clone(), window, options.sct_leaf_index)?;
        let rekor_v1 = RekorV1::new(clock.clone(), keys.rekor_v1.clone());
        let rekor_v2 = RekorV2::new(keys.rekor_v2.clone());
        let tsa = Tsa::new(keys, clock.clone(), window)?;
        let urls = Urls {
            fulcio: at[&Service::Fulcio].clone(),
            email_issuer: oidc.issuer(Issuer::Email),
            rekor_v1: at[&Service::RekorV1].clone(),
            rekor_v2: at[&Service::RekorV2].clone(),
            tsa: format!("{}{}", at[&Service::Tsa], crate::tsa::PATH),
        };
        let trusted_root = trust::trusted_root(&urls, since, keys, (&fulcio, &rekor_v1, &rekor_v2, &tsa)).to_string();
        let signing_configs =
            [RekorVersion::V1, RekorVersion::V2].map(|rekor| trust::signing_config(&urls, since, rekor).to_string());
        let [rekor_v1_config, rekor_v2_config] = signing_configs.clone().map(Bytes::from);
        let own = || {
            vec![
                ("trusted_root.json".to_owned(), Bytes::from(trusted_root.clone())),
                ("signing_config.v0.2.json".to_owned(), rekor_v1_config),
                ("signing_config_rekor_v2.v0.2.json".to_owned(), rekor_v2_config),
            ]
        };
        let given = options.tuf_targets.clone();
        let given = given.map(|targets| targets.into_iter().map(|(name, bytes)| (name, Bytes::from(bytes))).collect());
        let tuf = TufRepository::new(&keys.tuf, now + options.tuf_lifetime, &given.unwrap_or_else(own));
        Ok(Sigstore { oidc, fulcio, rekor_v1, rekor_v2, tsa, tuf, trusted_root, signing_configs })
    }

    pub(crate) fn signing_config(&self, rekor: RekorVersion) -> &str {
        let [rekor_v1, rekor_v2] = &self.signing_configs;
        match rekor {
            RekorVersion::V1 => rekor_v1,
            RekorVersion::V2 => rekor_v2,
        }
    }

    pub(crate) fn answer(&self, service: Service, call: &Call) -> Reply {
        match service {
            Service::Fulcio => self.fulcio.answer(&self.oidc, call),
            Service::Oidc => self.oidc.answer(call),
            Service::RekorV1 => self.rekor_v1.answer(call),
            Service::RekorV2 => self.rekor_v2.answer(call),
            Service::Tsa => self.tsa.answer(call),
            Service::Tuf => self.tuf.answer(call),
            // The registry is no Sigstore service; its listener does not ask here.
            Service::Registry => Reply::not_found(),
        }
    }
}
