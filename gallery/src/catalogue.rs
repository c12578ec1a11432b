//! All galleries of a config with their indexes: which entry a name means.

use countersign_oci::Class;

use crate::capability::{self, Capability};
use crate::config::Gallery;
use crate::index::{Entry, EntryKind, FetchError, Fetched, SkippedReason};
use crate::name::{EntryName, EntryRequest, GalleryName};
use crate::spelling;

/// The galleries, each with its index or the reason why there is none.
#[derive(Debug)]
pub struct Catalogue<'a> {
    shelves: Vec<Shelf<'a>>,
}

/// One gallery.
#[derive(Debug)]
#[non_exhaustive]
pub struct Shelf<'a> {
    /// The gallery.
    pub gallery: &'a Gallery,
    /// Its index.
    pub index: Result<Fetched, FetchError>,
}

/// The entry that a name means, and what it stands for on this machine.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Target<'a> {
    /// The gallery.
    pub gallery: &'a Gallery,
    /// Whether the index was read from this machine's disk: its host names are then the operator's own.
    pub local_index: bool,
    /// The meta entry that was named, with the key that led to the concrete one.
    pub meta: Option<(&'a Entry, &'a str)>,
    /// The concrete entry.
    pub concrete: &'a Entry,
}

/// What kept an index from being read, in one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unread(String);

/// Why a name means no entry.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FindError {
    /// Several galleries have the entry.
    #[error("{name} is in several galleries: {}", join(.galleries))]
    Ambiguous {
        /// The entry.
        name: EntryName,
        /// The galleries.
        galleries: Vec<GalleryName>,
    },
    /// A meta entry names something that its gallery cannot install.
    #[error("{meta} stands for {target} under {key}, which is no concrete entry of gallery {gallery}")]
    Dangling {
        /// The meta entry.
        meta: EntryName,
        /// The capability's key.
        key: String,
        /// What it names.
        target: EntryName,
        /// The gallery.
        gallery: GalleryName,
    },
    /// A gallery whose index is not there might have the entry too, or alone.
    #[error("gallery {gallery} could not be read, so it cannot be told which entry {name} means")]
    GalleryUnread {
        /// The gallery.
        gallery: GalleryName,
        /// The entry.
        name: EntryName,
        /// Whether some other gallery has the entry.
        elsewhere: Option<GalleryName>,
        /// Who has to act.
        class: Class,
        /// What kept the index from being read.
        #[source]
        source: Unread,
    },
    /// A meta entry has nothing for this machine.
    #[error("{meta} has nothing for capability {capability}, only for {}", .keys.join(", "))]
    NoCapability {
        /// The meta entry.
        meta: EntryName,
        /// The capability.
        capability: Capability,
        /// What it has something for.
        keys: Vec<String>,
    },
    /// No gallery has the entry.
    #[error("no gallery has an entry {name}")]
    NotFound {
        /// The entry.
        name: EntryName,
        /// A name that is there and looks like it.
        similar: Option<EntryName>,
    },
    /// A gallery's index has the entry in a form that cannot be used.
    #[error("entry {name} is in the index of gallery {gallery}, and cannot be used: {reason}")]
    Skipped {
        /// The gallery.
        gallery: GalleryName,
        /// The entry.
        name: EntryName,
        /// What is wrong with it.
        reason: SkippedReason,
        /// Whether some other gallery has the entry.
        elsewhere: Option<GalleryName>,
    },
    /// No gallery has the name that was given.
    #[error("no gallery is named {gallery}")]
    UnknownGallery {
        /// The name.
        gallery: GalleryName,
        /// The galleries that there are.
        galleries: Vec<GalleryName>,
        /// What is there when gallery and entry change places.
        swapped: Option<EntryRequest>,
    },
}

impl<'a> Catalogue<'a> {
    /// Puts galleries and indexes together, in the config's order.
    pub fn new(shelves: impl IntoIterator<Item = (&'a Gallery, Result<Fetched, FetchError>)>) -> Self {
        Self { shelves: shelves.into_iter().map(|(gallery, index)| Shelf { gallery, index }).collect() }
    }

    /// The galleries.
    #[must_use]
    pub fn shelves(&self) -> &[Shelf<'a>] {
        &self.shelves
    }

    /// Returns the entry that a request means. Never guesses between galleries: a name in two of them, or in one while
    /// another could not be read or has it in a form that cannot be used, needs the gallery beside it.
    pub fn find(&self, request: &EntryRequest, capability: &Capability) -> Result<Target<'_>, FindError> {
        let mut found = Vec::new();
        let mut skipped = None;
        let mut unread = None;
        let mut known = false;
        for shelf in self.shelves_of(request) {
            known = true;
            match &shelf.index {
                Ok(fetched) => {
                    found.extend(fetched.index.entry(&request.entry).map(|entry| (shelf.gallery, fetched, entry)));
                    let unusable = fetched.index.skipped_entry(&request.entry);
                    skipped = skipped.or(unusable.map(|unusable| (shelf.gallery, unusable)));
                }
                Err(error) => unread = unread.or(Some((shelf.gallery, error))),
            }
        }
        if let Some(gallery) = request.gallery.as_ref().filter(|_| !known) {
            return Err(self.unknown_gallery(gallery, &request.entry));
        }
        let elsewhere = || found.first().map(|(gallery, ..)| gallery.name.clone());
        if let Some((gallery, error)) = unread {
            return Err(FindError::GalleryUnread {
                gallery: gallery.name.clone(),
                name: request.entry.clone(),
                elsewhere: elsewhere(),
                class: error.class(),
                source: Unread(error.chain()),
            });
        }
        if let Some((gallery, unusable)) = skipped {
            return Err(FindError::Skipped {
                gallery: gallery.name.clone(),
                name: request.entry.clone(),
                reason: unusable.reason.clone(),
                elsewhere: elsewhere(),
            });
        }
        match found.as_slice() {
            [] => Err(self.not_found(request)),
            [(gallery, fetched, entry)] => resolve(gallery, fetched, entry, capability),
            several => Err(FindError::Ambiguous {
                name: request.entry.clone(),
                galleries: several.iter().map(|(gallery, ..)| gallery.name.clone()).collect(),
            }),
        }
    }

    fn shelves_of(&self, request: &EntryRequest) -> impl Iterator<Item = &Shelf<'a>> {
        self.shelves.iter().filter(|shelf| request.gallery.as_ref().is_none_or(|wanted| *wanted == shelf.gallery.name))
    }

    fn not_found(&self, request: &EntryRequest) -> FindError {
        let indexes = self.shelves_of(request).filter_map(|shelf| shelf.index.as_ref().ok());
        let names = indexes.flat_map(|fetched| fetched.index.entries()).map(|entry| &entry.name);
        FindError::NotFound { name: request.entry.clone(), similar: spelling::nearest(&request.entry, names).cloned() }
    }

    fn unknown_gallery(&self, gallery: &GalleryName, entry: &EntryName) -> FindError {
        let swapped = EntryRequest { gallery: Some(entry.into()), entry: gallery.into() };
        let is_there = self
            .shelves_of(&swapped)
            .any(|shelf| shelf.index.as_ref().is_ok_and(|fetched| fetched.index.entry(&swapped.entry).is_some()));
        FindError::UnknownGallery {
            gallery: gallery.clone(),
            galleries: self.shelves.iter().map(|shelf| shelf.gallery.name.clone()).collect(),
            swapped: Some(swapped).filter(|_| is_there),
        }
    }
}

/// A meta entry is resolved inside its own gallery: another one cannot slip its entry under a trusted name.
fn resolve<'a>(
    gallery: &'a Gallery,
    fetched: &'a Fetched,
    entry: &'a Entry,
    capability: &Capability,
) -> Result<Target<'a>, FindError> {
    let local_index = fetched.local;
    let EntryKind::Meta { capabilities } = &entry.kind else {
        return Ok(Target { gallery, local_index, meta: None, concrete: entry });
    };
    let Some(choice) = capability::select(capabilities, capability) else {
        let (meta, keys) = (entry.name.clone(), capabilities.keys().cloned().collect());
        return Err(FindError::NoCapability { meta, capability: capability.clone(), keys });
    };
    match fetched.index.entry(choice.entry) {
        Some(concrete) if matches!(concrete.kind, EntryKind::Concrete { .. }) => {
            Ok(Target { gallery, local_index, meta: Some((entry, choice.key)), concrete })
        }
        _ => Err(match fetched.index.skipped_entry(choice.entry) {
            Some(unusable) => FindError::Skipped {
                gallery: gallery.name.clone(),
                name: choice.entry.clone(),
                reason: unusable.reason.clone(),
                elsewhere: None,
            },
            None => FindError::Dangling {
                meta: entry.name.clone(),
                key: choice.key.to_owned(),
                target: choice.entry.clone(),
                gallery: gallery.name.clone(),
            },
        }),
    }
}

impl FindError {
    /// A stable name for the error, for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Ambiguous { .. } => "entry-ambiguous",
            Self::Dangling { .. } => "entry-dangling",
            Self::GalleryUnread { .. } => "gallery-unread",
            Self::NoCapability { .. } => "no-capability",
            Self::NotFound { .. } => "entry-not-found",
            Self::Skipped { .. } => "entry-unusable",
            Self::UnknownGallery { .. } => "gallery-unknown",
        }
    }

    /// Who has to act.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::GalleryUnread { class, .. } => *class,
            Self::Dangling { .. } | Self::Skipped { .. } => Class::Malformed,
            _ => Class::Usage,
        }
    }

    /// What a person can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Ambiguous { name, galleries } => Some(format!("name the gallery: {}@{name}", galleries.first()?)),
            Self::GalleryUnread { name, elsewhere, .. } | Self::Skipped { name, elsewhere, .. } => {
                Some(format!("{}@{name} is there and leaves no doubt", elsewhere.as_ref()?))
            }
            Self::NoCapability { .. } => Some("choose one with --capability".to_owned()),
            Self::NotFound { similar, .. } => {
                let meant = similar.as_ref().map(|similar| format!("did you mean {similar}? ")).unwrap_or_default();
                Some(format!("{meant}`countersign-gallery list` shows every entry"))
            }
            Self::UnknownGallery { swapped: Some(swapped), .. } => {
                Some(format!("the order is GALLERY@NAME: {swapped}"))
            }
            Self::UnknownGallery { galleries, .. } => Some(format!("the config has {}", join(galleries))),
            Self::Dangling { .. } => None,
        }
    }
}

fn join(names: &[GalleryName]) -> String {
    names.iter().map(GalleryName::as_str).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::index::Index;

    const ONE: &str = "
- {name: llama, capabilities: {default: cpu-llama, nvidia: cuda-llama, metal: gone, amd: other}}
- {name: other, capabilities: {default: cpu-llama}}
- {name: cpu-llama, uri: 'quay.io/a/b:cpu'}
- {name: cuda-llama, uri: 'quay.io/a/b:cuda', capabilities: {default: cpu-llama}}
- {name: both, uri: 'quay.io/a/b:both'}
";
    const TWO: &str = "
- {name: gone, uri: 'quay.io/evil/b:x'}
- {name: both, uri: 'quay.io/evil/b:both'}
- {name: metal-only, capabilities: {metal: gone}}
";

    fn config() -> Config {
        Config::from_yaml("c", "[{name: one, url: a}, {name: two, url: b}]").unwrap()
    }

    fn fetched(text: &str) -> Result<Fetched, FetchError> {
        Ok(Fetched { index: Index::from_yaml("i", text.as_bytes()).unwrap(), origin: "i".to_owned(), local: true })
    }

    fn catalogue(config: &Config) -> Catalogue<'_> {
        Catalogue::new(config.galleries().iter().zip([fetched(ONE), fetched(TWO)]))
    }

    fn find(name: &str, capability: &str) -> Result<String, FindError> {
        let config = config();
        let catalogue = catalogue(&config);
        let target = catalogue.find(&name.parse().unwrap(), &capability.parse().unwrap())?;
        Ok(format!("{}@{}", target.gallery.name, target.concrete.name))
    }

    #[test]
    fn a_name_leads_to_a_concrete_entry() {
        assert_eq!(find("cpu-llama", "metal").unwrap(), "one@cpu-llama");
        assert_eq!(find("cuda-llama", "default").unwrap(), "one@cuda-llama", "its own capabilities are inherited");
        assert_eq!(find("llama", "default").unwrap(), "one@cpu-llama");
        assert_eq!(find("llama", "nvidia").unwrap(), "one@cuda-llama");
        assert_eq!(find("one@llama", "vulkan").unwrap(), "one@cpu-llama");
        assert_eq!(find("two@both", "default").unwrap(), "two@both");
    }

    #[test]
    fn a_meta_entry_never_reaches_into_another_gallery() {
        assert!(matches!(find("llama", "metal"), Err(FindError::Dangling { .. })));
        assert!(matches!(find("llama", "amd"), Err(FindError::Dangling { .. })), "nor to another meta entry");
    }

    #[test]
    fn a_name_in_two_galleries_needs_the_gallery() {
        let Err(error) = find("both", "default") else { panic!("ambiguous") };
        assert!(matches!(&error, FindError::Ambiguous { galleries, .. } if galleries.len() == 2));
        assert_eq!(error.hint().unwrap(), "name the gallery: one@both");
    }

    #[test]
    fn a_gallery_that_cannot_be_read_is_not_passed_over() {
        let config = config();
        let unread = Err(FetchError::Unsupported { place: "ftp://x".to_owned() });
        let catalogue = Catalogue::new(config.galleries().iter().zip([unread, fetched(TWO)]));
        let find = |name: &str| {
            catalogue
                .find(&name.parse().unwrap(), &"default".parse().unwrap())
                .map(|target| target.concrete.name.clone())
        };
        assert!(matches!(find("both"), Err(FindError::GalleryUnread { elsewhere: Some(_), .. })));
        assert!(matches!(find("llama"), Err(FindError::GalleryUnread { elsewhere: None, .. })));
        assert_eq!(find("two@both").unwrap().as_str(), "both");
    }

    #[test]
    fn what_is_not_there_is_said_with_what_is() {
        let Err(error) = find("llam", "default") else { panic!("not there") };
        assert_eq!(error.hint().unwrap(), "did you mean llama? `countersign-gallery list` shows every entry");
        let Err(error) = find("zzz", "default") else { panic!("not there") };
        assert!(matches!(error, FindError::NotFound { similar: None, .. }));
        assert_eq!(error.hint().unwrap(), "`countersign-gallery list` shows every entry");
        assert!(
            matches!(find("two@cuda-lama", "default"), Err(FindError::NotFound { similar: None, .. })),
            "what another gallery has is not there either"
        );
        let Err(FindError::NoCapability { keys, .. }) = find("metal-only", "nvidia") else { panic!("no capability") };
        assert_eq!(keys, ["metal"]);
    }

    #[test]
    fn an_unknown_gallery_is_said_with_those_that_there_are() {
        let Err(error) = find("three@llama", "default") else { panic!("no such gallery") };
        assert!(matches!(error, FindError::UnknownGallery { swapped: None, .. }));
        assert_eq!(error.hint().unwrap(), "the config has one, two");
        assert_eq!(find("llama@three", "default").unwrap_err().hint().unwrap(), "the config has one, two");
        assert_eq!(find("llama@one", "default").unwrap_err().hint().unwrap(), "the order is GALLERY@NAME: one@llama");
        assert_eq!(find("llama@two", "default").unwrap_err().hint().unwrap(), "the config has one, two");
    }

    #[test]
    fn an_entry_that_was_left_out_says_why() {
        let text = "
- {name: nothing}
- {name: both}
- {name: lost, capabilities: {default: nothing}}
- {name: aliased, uri: 'quay.io/a/b:c', alias: ../x}
";
        let config = config();
        let catalogue = Catalogue::new(config.galleries().iter().zip([fetched(text), fetched(TWO)]));
        let find = |name: &str| {
            let found = catalogue.find(&name.parse().unwrap(), &"default".parse().unwrap());
            found.map(|target| target.gallery.name.to_string())
        };
        for (name, expected) in [("nothing", SkippedReason::Empty), ("lost", SkippedReason::Empty)] {
            let error = find(name).unwrap_err();
            assert!(matches!(&error, FindError::Skipped { reason, .. } if *reason == expected), "{error:?}");
            assert_eq!((error.class(), error.hint()), (Class::Malformed, None));
        }
        assert!(matches!(find("aliased"), Err(FindError::Skipped { reason: SkippedReason::Alias(_), .. })));
        // Another gallery's entry is not taken for it unasked.
        let error = find("both").unwrap_err();
        assert!(matches!(error, FindError::Skipped { elsewhere: Some(_), .. }), "{error:?}");
        assert_eq!(find("two@both").unwrap(), "two");
    }
}
