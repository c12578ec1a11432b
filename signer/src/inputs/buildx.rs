//! The JSON of docker's build tools. Three members of it are read; what surrounds them (provenance, descriptors, warnings) is skipped
//! without being held.

use std::fmt;
use std::marker::PhantomData;

use countersign_oci::{Digest, ImageReference};
use serde::de::{Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::{InputError, Origin, pinned};

const DIGEST: &str = "containerimage.digest";
const NAME: &str = "image.name";

/// Reads a metadata file of `build` or `bake`.
pub(super) fn images(origin: &Origin, json: &str) -> Result<Vec<(ImageReference, Origin)>, InputError> {
    let file: Members<MetadataFile> = parse(origin, "docker buildx (--metadata-file)", json)?;
    let target = |(target, result): (String, Members<BuildResult>)| {
        (Origin::new(format!("{origin}, target {target:?}")), result.0)
    };
    let build = (origin.clone(), file.0.build);
    let mut images = Vec::new();
    for (origin, result) in std::iter::once(build).chain(file.0.targets.into_iter().map(target)) {
        images.extend(result.images(&origin)?);
    }
    Ok(images)
}

/// Reads the tags of docker/metadata-action: full references.
pub(super) fn tags(origin: &Origin, json: &str) -> Result<Vec<String>, InputError> {
    let output: MetadataOutput = parse(origin, "docker/metadata-action", json)?;
    Ok(output.tags)
}

fn parse<'a, T: Deserialize<'a>>(origin: &Origin, tool: &'static str, json: &'a str) -> Result<T, InputError> {
    serde_json::from_str(json).map_err(|cause| InputError::JsonMalformed { origin: origin.clone(), tool, cause })
}

#[derive(Deserialize)]
struct MetadataOutput {
    tags: Vec<String>,
}

/// A metadata file. Buildx's own members have a dot in their names, bake's targets cannot have one.
#[derive(Default)]
struct MetadataFile {
    build: BuildResult,
    targets: Vec<(String, Members<BuildResult>)>,
}

/// What is said of one image.
#[derive(Default)]
struct BuildResult {
    digest: Option<String>,
    name: Option<String>,
}

impl BuildResult {
    fn images(self, origin: &Origin) -> Result<Vec<(ImageReference, Origin)>, InputError> {
        let missing = |member| InputError::MetadataIncomplete { origin: origin.clone(), member };
        let names = self.name.unwrap_or_default();
        let names: Vec<&str> = names.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
        let digest = match (self.digest, names.is_empty()) {
            (None, true) => return Ok(Vec::new()),
            (None, false) => return Err(missing(DIGEST)),
            (Some(_), true) => return Err(missing(NAME)),
            (Some(digest), false) => digest,
        };
        let digest: Digest = digest.parse().map_err(|cause| InputError::MetadataDigest {
            origin: origin.clone(),
            member: DIGEST,
            cause,
        })?;
        names.into_iter().map(|name| Ok((pinned(name, digest, origin)?, origin.clone()))).collect()
    }
}

/// An object that is read member by member.
trait Object: Default {
    fn member<'de, A: MapAccess<'de>>(&mut self, key: String, map: &mut A) -> Result<(), A::Error>;
}

impl Object for MetadataFile {
    fn member<'de, A: MapAccess<'de>>(&mut self, key: String, map: &mut A) -> Result<(), A::Error> {
        if key.contains('.') {
            return self.build.member(key, map);
        }
        let result = map.next_value()?;
        self.targets.push((key, result));
        Ok(())
    }
}

impl Object for BuildResult {
    fn member<'de, A: MapAccess<'de>>(&mut self, key: String, map: &mut A) -> Result<(), A::Error> {
        let member = match key.as_str() {
            DIGEST => &mut self.digest,
            NAME => &mut self.name,
            _ => return map.next_value::<IgnoredAny>().map(|_| ()),
        };
        // Readers differ about which of two counts.
        if member.replace(map.next_value()?).is_some() {
            return Err(A::Error::custom(format_args!("{key} is there twice")));
        }
        Ok(())
    }
}

/// The door from JSON into an [`Object`].
#[derive(Default)]
struct Members<T>(T);

impl<'de, T: Object> Deserialize<'de> for Members<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader<T>(PhantomData<T>);

        impl<'de, T: Object> Visitor<'de> for Reader<T> {
            type Value = Members<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<T>, A::Error> {
                let mut object = T::default();
                while let Some(key) = map.next_key()? {
                    object.member(key, &mut map)?;
                }
                Ok(Members(object))
            }
        }

        deserializer.deserialize_map(Reader(PhantomData))
    }
}
