//! What must not come out of an archive, each in every compression.

use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use countersign_oci::Digest;

use super::{Compression, Counted, Extraction, Refusal, UnpackError};
use crate::confine::{Root, Walk};
use crate::limits;

/// One archive, written header by header.
#[derive(Clone, Default)]
struct Tar(Vec<u8>);

impl Tar {
    fn file(self, path: &str, content: &[u8]) -> Self {
        self.entry(header(path, b'0', content.len() as u64, "", 0o644), content)
    }

    fn script(self, path: &str) -> Self {
        self.entry(header(path, b'0', 2, "", 0o755), b"#!")
    }

    fn directory(self, path: &str) -> Self {
        self.entry(header(path, b'5', 0, "", 0o755), b"")
    }

    fn link(self, path: &str, target: &str) -> Self {
        self.entry(header(path, b'2', 0, target, 0o777), b"")
    }

    fn hard(self, path: &str, target: &str) -> Self {
        self.entry(header(path, b'1', 0, target, 0o644), b"")
    }

    fn typed(self, path: &str, kind: u8) -> Self {
        self.entry(header(path, kind, 0, "", 0o644), b"")
    }

    fn pax(self, records: &[(&str, &str)]) -> Self {
        let text: String = records.iter().map(|(key, value)| record(key, value)).collect();
        self.entry(header("pax", b'x', text.len() as u64, "", 0o644), text.as_bytes())
    }

    fn entry(mut self, header: [u8; 512], content: &[u8]) -> Self {
        self.0.extend_from_slice(&header);
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn end(self) -> Vec<u8> {
        self.raw(&[0; 1024]).0
    }
}

fn header(path: &str, kind: u8, size: u64, link: &str, mode: u32) -> [u8; 512] {
    let mut header = [0; 512];
    header[..path.len().min(100)].copy_from_slice(&path.as_bytes()[..path.len().min(100)]);
    header[100..108].copy_from_slice(format!("{mode:07o}\0").as_bytes());
    header[108..116].copy_from_slice(b"0000000\0");
    header[116..124].copy_from_slice(b"0000000\0");
    header[124..136].copy_from_slice(format!("{size:011o}\0").as_bytes());
    header[136..148].copy_from_slice(b"14524770400\0");
    header[156] = kind;
    header[157..157 + link.len()].copy_from_slice(link.as_bytes());
    header[257..265].copy_from_slice(b"ustar\x0000");
    seal(header)
}

fn seal(mut header: [u8; 512]) -> [u8; 512] {
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}

fn record(key: &str, value: &str) -> String {
    let rest = format!(" {key}={value}\n");
    let mut length = rest.len() + 1;
    while length != rest.len() + length.to_string().len() {
        length = rest.len() + length.to_string().len();
    }
    format!("{length}{rest}")
}

fn compress(bytes: &[u8], compression: Compression) -> Vec<u8> {
    match compression {
        Compression::None => bytes.to_vec(),
        Compression::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        Compression::Zstd => zstd::encode_all(bytes, 1).unwrap(),
    }
}

/// A staging directory with a sibling that must stay as it is.
struct Scene {
    directory: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("tree")).unwrap();
        std::fs::create_dir(directory.path().join("outside")).unwrap();
        std::fs::write(directory.path().join("outside/victim"), "untouched").unwrap();
        Self { directory }
    }

    fn tree(&self) -> std::path::PathBuf {
        self.directory.path().join("tree")
    }

    fn unpack(&self, layers: &[Vec<u8>], compression: Compression, walk: Walk) -> Result<super::Summary, UnpackError> {
        let mut extraction = Extraction::new(Root::open_with(&self.tree(), walk).unwrap());
        for layer in layers {
            let blob = compress(layer, compression);
            extraction.apply(blob.as_slice(), compression, blob.len() as u64, Digest::of(layer))?;
        }
        extraction.finish().map(|(_, summary)| summary)
    }
}

fn unpack(layers: &[Vec<u8>]) -> (Scene, super::Summary) {
    let scene = Scene::new();
    let summary = scene.unpack(layers, Compression::Gzip, Walk::Kernel).unwrap();
    (scene, summary)
}

/// Unpacks in every compression and both walks; all must refuse, nothing outside may change, nothing inside may lead out.
#[track_caller]
fn refused(layers: &[Vec<u8>]) -> Refusal {
    let mut last = None;
    for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
        for walk in [Walk::Components, Walk::Kernel] {
            let scene = Scene::new();
            match scene.unpack(layers, compression, walk) {
                Err(UnpackError::Refused { source, .. }) => last = Some(source),
                other => panic!("{compression:?} {walk:?}: {other:?}"),
            }
            let outside = scene.directory.path().join("outside");
            assert_eq!(std::fs::read_to_string(outside.join("victim")).unwrap(), "untouched");
            assert_eq!(std::fs::metadata(&outside).unwrap().permissions().mode() & 0o7777, 0o755);
            assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 1);
            assert_eq!(std::fs::read_dir(scene.directory.path()).unwrap().count(), 2);
            assert_no_links(&scene.tree());
        }
    }
    last.unwrap()
}

fn assert_no_links(directory: &Path) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        assert!(kind.is_dir() || kind.is_file(), "{:?} is {kind:?}", entry.path());
        if kind.is_dir() {
            assert_no_links(&entry.path());
        }
    }
}

fn read(scene: &Scene, path: &str) -> String {
    std::fs::read_to_string(scene.tree().join(path)).unwrap()
}

#[test]
fn an_ordinary_layer_unpacks_the_same_in_every_compression() {
    let layer = Tar::default()
        .directory("./")
        .directory("lib/")
        .file("lib/a.so", b"elf")
        .link("lib/a.so.1", "a.so")
        .hard("copy", "lib/a.so")
        .script("./run.sh")
        .file("deep/without/parents", b"x")
        .link("up", "lib/../deep/./without")
        .end();
    for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
        for walk in [Walk::Components, Walk::Kernel] {
            let scene = Scene::new();
            let summary = scene.unpack(std::slice::from_ref(&layer), compression, walk).unwrap();
            assert_eq!(summary, super::Summary { files: 6, bytes: layer.len() as u64 });
            assert_eq!(read(&scene, "lib/a.so.1"), "elf");
            assert_eq!(read(&scene, "copy"), "elf");
            assert_eq!(read(&scene, "up/parents"), "x");
            let status = std::fs::metadata(scene.tree().join("run.sh")).unwrap();
            assert_eq!(status.permissions().mode() & 0o7777, 0o755);
            assert_eq!(status.mtime(), 0o14524770400);
        }
    }
}

#[test]
fn modes_are_reduced_to_0755_and_0644() {
    let mut tar = Tar::default();
    for (path, mode) in
        [("setuid", 0o4755), ("setgid", 0o2755), ("sticky", 0o1644), ("open", 0o777), ("shared", 0o666), ("own", 0o600)]
    {
        tar = tar.entry(header(path, b'0', 0, "", mode), b"");
    }
    let (scene, _) = unpack(&[tar.entry(header("d", b'5', 0, "", 0o7777), b"").end()]);
    for (path, mode) in [
        ("setuid", 0o755),
        ("setgid", 0o755),
        ("sticky", 0o644),
        ("open", 0o755),
        ("shared", 0o644),
        ("own", 0o644),
        ("d", 0o755),
    ] {
        let status = std::fs::metadata(scene.tree().join(path)).unwrap();
        assert_eq!(status.permissions().mode() & 0o7777, mode, "{path}");
    }
}

#[test]
fn names_that_need_cleaning_refuse_the_layer() {
    for path in ["../outside/evil", "/outside", "a/../../outside/x", "a/..", "a//b", "a/./b", "..", "a\x1b[2J", "a\nb"]
    {
        for tar in [
            Tar::default().file(path, b"x"),
            Tar::default().directory(path),
            Tar::default().link(path, "x"),
            Tar::default().pax(&[("path", path)]).file("good", b"x"),
            Tar::default().file("good", b"x").hard("h", path),
        ] {
            assert!(matches!(refused(&[tar.end()]), Refusal::Path(_)), "{path:?}");
        }
    }
    assert!(matches!(refused(&[Tar::default().file("", b"x").end()]), Refusal::Archive(_)));
    let long = "a/".repeat(2048) + "a";
    let deep = "a/".repeat(64) + "a";
    for path in [long.as_str(), deep.as_str(), &"a".repeat(256)] {
        let refusal = refused(&[Tar::default().pax(&[("path", path)]).file("x", b"x").end()]);
        assert!(matches!(refusal, Refusal::Path(_) | Refusal::Archive(_)), "{refusal:?}");
    }
    let mut bytes = header("x", b'0', 0, "", 0o644);
    bytes[0] = 0xff;
    assert!(matches!(refused(&[Tar::default().entry(seal(bytes), b"").end()]), Refusal::Path(_)));
}

#[test]
fn nothing_is_written_through_a_symbolic_link() {
    let below = |first: Tar| first.file("l/evil", b"x").end();
    assert!(matches!(refused(&[below(Tar::default().link("l", "../outside"))]), Refusal::NotADirectory { .. }));
    assert!(matches!(refused(&[below(Tar::default().link("l", "d").directory("d"))]), Refusal::NotADirectory { .. }));
    let two = [Tar::default().directory("d").link("l", "d").end(), Tar::default().file("l/evil", b"x").end()];
    assert!(matches!(refused(&two), Refusal::NotADirectory { .. }));
    for second in [Tar::default().directory("l"), Tar::default().directory("l/"), Tar::default().file("l", b"x")] {
        let tar = Tar::default().link("l", "../outside").raw(&second.0).end();
        assert!(matches!(refused(&[tar]), Refusal::Duplicate { .. }));
    }
}

#[test]
fn a_link_that_leaves_the_image_refuses_it() {
    for target in ["/etc/passwd", "", "a\x1bb"] {
        assert!(matches!(refused(&[Tar::default().link("l", target).end()]), Refusal::Link { .. }), "{target:?}");
    }
    for target in ["..", "../outside", "x/../../outside", "../tree/x", "./../x"] {
        assert!(matches!(refused(&[Tar::default().link("l", target).end()]), Refusal::Link { .. }), "{target:?}");
    }
    let outside_by_turns = Tar::default().directory("p").link("p/q", "..").link("l", "p/q/../outside").end();
    assert!(matches!(refused(&[outside_by_turns]), Refusal::Link { .. }));
    let mut chain = Tar::default();
    for step in 0..41 {
        chain = chain.link(&format!("l{step}"), &format!("l{}", step + 1));
    }
    assert!(matches!(refused(&[chain.end()]), Refusal::Link { .. }));
    assert!(matches!(refused(&[Tar::default().link("a", "b").link("b", "a").end()]), Refusal::Link { .. }));
    assert!(matches!(refused(&[Tar::default().link("a", "a").end()]), Refusal::Link { .. }));

    let (scene, _) =
        unpack(&[Tar::default().directory("p").link("p/q", "..").link("l", "p/q/x").file("x", b"in").end()]);
    assert_eq!(read(&scene, "l"), "in");
}

#[test]
fn a_hard_link_names_only_files_of_this_image() {
    for tar in [
        Tar::default().hard("h", "missing"),
        Tar::default().hard("h", "h"),
        Tar::default().directory("d").hard("h", "d"),
        Tar::default().file("f", b"x").link("l", "f").hard("h", "l"),
        Tar::default().hard("h", "later").file("later", b"x"),
        Tar::default().hard("h", "./"),
        Tar::default().hard("h", ""),
    ] {
        let refusal = refused(&[tar.end()]);
        assert!(matches!(refusal, Refusal::HardLink { .. } | Refusal::Path(_)), "{refusal:?}");
    }
    let rewritten = Tar::default().file("f", b"x").hard("h", "f").file("h", b"evil").end();
    assert!(matches!(refused(&[rewritten]), Refusal::Duplicate { .. }));
}

#[test]
fn the_root_cannot_be_replaced() {
    for kind in [b'0', b'1', b'2'] {
        for name in [".", "./"] {
            let tar = Tar::default().file("f", b"x").entry(header(name, kind, 0, "f", 0o777), b"").end();
            let refusal = refused(&[tar]);
            assert!(matches!(refusal, Refusal::Root | Refusal::Type { .. }), "{refusal:?}");
        }
    }
}

#[test]
fn devices_and_unknown_types_refuse_the_layer() {
    for kind in [b'3', b'4', b'6', b'7', b'A', b'D', b'M', b'N', b'V', b'X', b'9', 0xff] {
        assert!(matches!(refused(&[Tar::default().typed("x", kind).end()]), Refusal::Type { .. }), "{kind}");
    }
}

#[test]
fn sparse_files_refuse_the_layer() {
    let mut gnu = header("s", b'S', 0, "", 0o644);
    gnu[257..265].copy_from_slice(b"ustar  \0");
    gnu[483..495].copy_from_slice(b"00000000000\0");
    for tar in [
        Tar::default().entry(seal(gnu), b""),
        Tar::default().pax(&[("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0")]).file("s", b"0\n"),
        Tar::default().pax(&[("GNU.sparse.map", "0,1")]).file("s", b"x"),
        Tar::default().pax(&[("GNU.sparse.name", "elsewhere"), ("GNU.sparse.realsize", "9")]).file("s", b"x"),
    ] {
        let refusal = refused(&[tar.end()]);
        assert!(matches!(refusal, Refusal::Sparse { .. } | Refusal::Extension | Refusal::Archive(_)), "{refusal:?}");
    }
    let regions: String = (0..100_000).map(|at| format!("{at},1,")).collect();
    let refusal = refused(&[Tar::default().pax(&[("GNU.sparse.map", &regions)]).file("s", b"x").end()]);
    assert!(matches!(refusal, Refusal::Archive(_)), "{refusal:?}");
}

#[test]
fn extended_attributes_do_not_arrive() {
    let (scene, _) = unpack(&[Tar::default()
        .pax(&[("SCHILY.xattr.security.capability", "x"), ("mtime", "5.5")])
        .file("f", b"x")
        .end()]);
    let mut names = [0; 256];
    let path = scene.tree().join("f");
    assert_eq!(rustix::fs::listxattr(&path, &mut names[..]).unwrap_or(0), 0);
    assert_eq!(std::fs::metadata(path).unwrap().mtime(), 5);
}

#[test]
fn an_entry_with_two_sizes_refuses_the_layer() {
    let inner = Tar::default().file("hidden", b"x").end();
    let smuggled =
        Tar::default().pax(&[("size", &inner.len().to_string())]).entry(header("f", b'0', 0, "", 0o644), &inner).end();
    assert!(matches!(refused(&[smuggled]), Refusal::Size { .. }));
    let shrunk = Tar::default().pax(&[("size", "0")]).file("f", b"content").end();
    assert!(matches!(refused(&[shrunk]), Refusal::Size { .. }));
    for kind in [b'1', b'2', b'5'] {
        let tar = Tar::default().file("f", b"x").entry(header("d", kind, 512, "f", 0o755), &[0; 512]).end();
        assert!(matches!(refused(&[tar]), Refusal::Size { .. }), "{kind}");
    }
}

#[test]
fn extensions_that_two_readers_could_apply_differently_refuse_the_layer() {
    let gnu = |name: &str, kind: u8| {
        let mut bytes = header("././@LongLink", kind, name.len() as u64 + 1, "", 0o644);
        bytes[257..265].copy_from_slice(b"ustar  \0");
        Tar::default().entry(seal(bytes), format!("{name}\0").as_bytes())
    };
    let long = gnu("long", b'L');
    let pax = Tar::default().pax(&[("path", "other")]);
    for chain in [
        Tar(long.0.clone()).raw(&pax.0),
        Tar(pax.0.clone()).raw(&long.0),
        Tar(long.0.clone()).raw(&long.0),
        Tar(pax.0.clone()).raw(&pax.0),
        Tar::default().pax(&[("path", "a"), ("path", "b")]),
        Tar::default().pax(&[("unknown", "a")]),
        Tar::default().pax(&[("hdrcharset", "BINARY")]),
        Tar::default().entry(header("pax", b'x', 9, "", 0o644), b"99 path=a"),
        Tar::default().entry(header("pax", b'x', 8, "", 0o644), b"8 path=a"),
        Tar::default().entry(header("g", b'g', 20, "", 0o644), record("path", "evil-path").as_bytes()),
        Tar(pax.0.clone()).entry(header("g", b'g', 13, "", 0o644), record("comment", "x").as_bytes()),
    ] {
        let refusal = refused(&[chain.file("f", b"x").end()]);
        assert!(matches!(refusal, Refusal::Extension | Refusal::Archive(_)), "{refusal:?}");
    }
    for orphan in [pax, long] {
        assert!(matches!(refused(&[orphan.end()]), Refusal::Archive(_)));
    }

    let (scene, _) = unpack(&[gnu(&"n".repeat(200), b'L').file("f", b"long").end()]);
    assert_eq!(read(&scene, &"n".repeat(200)), "long");
    let comment = record("comment", "fine");
    let (scene, _) = unpack(&[Tar::default()
        .entry(header("g", b'g', comment.len() as u64, "", 0o644), comment.as_bytes())
        .file("f", b"x")
        .end()]);
    assert_eq!(read(&scene, "f"), "x");
}

#[test]
fn headers_without_a_known_format_or_checksum_refuse_the_layer() {
    let mut old = header("f", b'0', 0, "", 0o644);
    old[257..265].fill(0);
    assert!(matches!(refused(&[Tar::default().entry(seal(old), b"").end()]), Refusal::HeaderFormat));
    let mut damaged = header("f", b'0', 0, "", 0o644);
    damaged[0] = b'g';
    assert!(matches!(refused(&[Tar::default().entry(damaged, b"").end()]), Refusal::Archive(_)));
    assert!(matches!(refused(&[vec![b'x'; 2048]]), Refusal::Archive(_)));
}

#[test]
fn an_archive_without_a_proper_end_is_refused() {
    let file = Tar::default().file("f", b"x");
    assert!(matches!(refused(std::slice::from_ref(&file.0)), Refusal::EndMissing));
    assert!(matches!(refused(&[file.clone().raw(&[0; 512]).0]), Refusal::EndMissing));
    assert!(matches!(refused(&[file.0[..700].to_vec()]), Refusal::EndMissing));
    assert!(matches!(refused(&[Vec::new()]), Refusal::EndMissing));
    assert!(matches!(refused(&[file.clone().raw(&[0; 512]).file("g", b"x").end()]), Refusal::Stray));
    let mut trailing = file.clone().end();
    trailing.extend_from_slice(b"hidden");
    assert!(matches!(refused(&[trailing]), Refusal::Stray));
    let second = Tar(file.clone().end()).file("g", b"x").end();
    assert!(matches!(refused(&[second]), Refusal::Stray));
    let padded = file.clone().raw(&vec![0; limits::ARCHIVE_PADDING_BYTES as usize + 4096]).end();
    assert!(matches!(refused(&[padded]), Refusal::Limit { what: Counted::Padding, .. }));
    unpack(&[file.raw(&[0; 20 * 512]).end()]);
}

#[test]
fn one_layer_names_a_path_once() {
    for tar in [
        Tar::default().file("f", b"x").file("f", b"y"),
        Tar::default().file("f", b"x").file("./f", b"y"),
        Tar::default().directory("d").directory("d/"),
        Tar::default().directory("d").file("d", b"x"),
        Tar::default().file("d", b"x").directory("d"),
        Tar::default().file("d/x", b"x").directory("d").directory("d"),
        Tar::default().file("d/x", b"x").link("d", "x"),
    ] {
        assert!(matches!(refused(&[tar.end()]), Refusal::Duplicate { .. }));
    }
    assert!(matches!(
        refused(&[Tar::default().file("f", b"x").file("f/g", b"y").end()]),
        Refusal::NotADirectory { .. }
    ));
    unpack(&[Tar::default().file("d/x", b"x").directory("d").end()]);
}

#[test]
fn names_at_the_top_differ_by_more_than_case() {
    for (one, other) in
        [("run.sh", "Run.sh"), ("LIB/x", "lib/y"), ("\u{e9}", "\u{c9}"), ("\u{3c3}", "\u{3c2}"), ("k", "\u{212a}")]
    {
        let tar = Tar::default().file(one, b"x").file(other, b"y").end();
        assert!(matches!(refused(&[tar]), Refusal::Case { .. }), "{other:?}");
        let layers = [Tar::default().file(one, b"x").end(), Tar::default().link(other, "x").end()];
        assert!(matches!(refused(&layers), Refusal::Case { .. }), "{other:?}");
    }
    // Terminfo has such names; what a lower layer had and no longer has is no name.
    unpack(&[Tar::default().file("t/E/Eterm", b"x").file("t/e/eterm", b"x").end()]);
    let layers = [Tar::default().file("Run.sh", b"x").end(), Tar::default().file(".wh.Run.sh", b"").end()];
    unpack(&[&layers[..], &[Tar::default().file("run.sh", b"x").end()]].concat());
}

#[test]
fn text_that_turns_its_direction_refuses_the_layer() {
    assert!(matches!(refused(&[Tar::default().file("a\u{202e}hs.nur", b"x").end()]), Refusal::Path(_)));
    assert!(matches!(refused(&[Tar::default().link("l", "a\u{2066}b").end()]), Refusal::Link { .. }));
}

#[test]
fn names_are_bounded_over_all_layers() {
    let target = "a/".repeat(2000);
    let long = Tar::default().pax(&[("linkpath", &target)]);
    let many = (0..17_000).fold(Tar::default(), |tar, at| tar.raw(&long.0).link(&format!("l{at}"), "x"));
    let scene = Scene::new();
    let error = scene.unpack(&[many.end()], Compression::None, Walk::Kernel).unwrap_err();
    let UnpackError::Refused { source: Refusal::Limit { what: Counted::Names, limit }, .. } = error else {
        panic!("{error:?}")
    };
    assert_eq!(limit, limits::NAME_BYTES);
}

#[test]
fn a_later_layer_replaces_and_removes_what_earlier_ones_made() {
    let base = Tar::default()
        .file("f", b"old")
        .file("d/x", b"1")
        .file("d/y", b"2")
        .directory("e")
        .link("l", "f")
        .file("k", b"k")
        .end();
    let top = Tar::default()
        .file("f", b"new")
        .file("d/.wh.x", b"")
        .file(".wh.missing", b"")
        .file("e", b"file now")
        .file("l", b"no link now")
        .directory("k")
        .end();
    let (scene, summary) = unpack(&[base.clone(), top]);
    assert_eq!(read(&scene, "f"), "new");
    assert_eq!(read(&scene, "e"), "file now");
    assert_eq!(read(&scene, "l"), "no link now");
    assert!(scene.tree().join("k").is_dir());
    assert!(!scene.tree().join("d/x").exists() && scene.tree().join("d/y").exists());
    assert!(!scene.tree().join(".wh.missing").exists());
    assert_eq!(summary.files, 4);

    for opaque in [
        Tar::default().file("d/.wh..wh..opq", b"").file("d/z", b"3").end(),
        Tar::default().file("d/z", b"3").file("d/.wh..wh..opq", b"").end(),
    ] {
        let (scene, _) = unpack(&[base.clone(), opaque]);
        let mut names: Vec<_> =
            std::fs::read_dir(scene.tree().join("d")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["z"]);
        assert!(scene.tree().join("f").exists());
    }
    let everything = Tar::default().file(".wh..wh..opq", b"").file("d/only", b"x").end();
    let (scene, _) = unpack(&[base, everything]);
    assert_eq!(std::fs::read_dir(scene.tree()).unwrap().count(), 1);
}

#[test]
fn a_whiteout_reaches_nothing_but_lower_layers() {
    let base = Tar::default().file("a/f", b"x").file("b", b"x").end();
    for path in
        [".wh.", ".wh..", ".wh...", "a/.wh.", "a/.wh..", "a/.wh...", ".wh..wh.", ".wh..wh.plnk", ".wh..wh..wh..opq"]
    {
        let refusal = refused(&[base.clone(), Tar::default().file(path, b"").end()]);
        assert!(matches!(refusal, Refusal::Whiteout { .. }), "{path:?}: {refusal:?}");
    }
    for tar in
        [Tar::default().file(".wh.b", b"x"), Tar::default().directory(".wh.b"), Tar::default().link(".wh.b", "a")]
    {
        assert!(matches!(refused(&[base.clone(), tar.end()]), Refusal::Whiteout { .. }));
    }
    for tar in [
        Tar::default().file("n", b"x").file(".wh.n", b""),
        Tar::default().file(".wh.n", b"").file("n", b"x"),
        Tar::default().file(".wh.a", b"").file("a/g", b"x"),
        Tar::default().file("a/g", b"x").file(".wh.a", b""),
    ] {
        assert!(matches!(refused(&[base.clone(), tar.end()]), Refusal::Collision { .. }));
    }
    for whiteout in [".wh.b", ".wh..wh..opq", "a/.wh..wh..opq"] {
        let twice = Tar::default().file(whiteout, b"").file(whiteout, b"").end();
        assert!(matches!(refused(&[base.clone(), twice]), Refusal::Duplicate { .. }), "{whiteout}");
    }
    // In two layers, and for a directory in another, it is not twice.
    let opaque = Tar::default().file("a/.wh..wh..opq", b"").file(".wh..wh..opq", b"").end();
    unpack(&[base, opaque.clone(), opaque]);
}

#[test]
fn a_layer_that_is_not_what_the_config_says_is_refused() {
    let layer = Tar::default().file("f", b"x").end();
    let scene = Scene::new();
    let mut extraction = Extraction::new(Root::open(&scene.tree()).unwrap());
    let error =
        extraction.apply(layer.as_slice(), Compression::None, layer.len() as u64, Digest::of(b"other")).unwrap_err();
    let UnpackError::Refused { source: Refusal::DiffId { expected, actual }, layer: 0 } = error else {
        panic!("{error:?}")
    };
    assert_eq!((expected, actual), (Digest::of(b"other"), Digest::of(&layer)));
}

#[test]
fn a_damaged_or_prolonged_stream_is_refused() {
    let layer = Tar::default().file("f", &[7; 100_000]).end();
    for compression in [Compression::Gzip, Compression::Zstd] {
        let whole = compress(&layer, compression);
        let mut prolonged = whole.clone();
        prolonged.extend_from_slice(b"garbage after the end");
        let mut flipped = whole.clone();
        let middle = flipped.len() / 2;
        flipped[middle] ^= 0x55;
        for blob in
            [whole[..whole.len() / 2].to_vec(), prolonged, flipped, Vec::new(), layer.clone(), b"<html>".to_vec()]
        {
            let scene = Scene::new();
            let mut extraction = Extraction::new(Root::open(&scene.tree()).unwrap());
            let applied = extraction.apply(blob.as_slice(), compression, blob.len() as u64, Digest::of(&layer));
            assert!(matches!(applied, Err(UnpackError::Refused { .. })), "{compression:?} {}: {applied:?}", blob.len());
        }
        // Several members in a row are one stream.
        let (first, second) = layer.split_at(1000);
        let members = [compress(first, compression), compress(second, compression)].concat();
        let scene = Scene::new();
        let mut extraction = Extraction::new(Root::open(&scene.tree()).unwrap());
        extraction.apply(members.as_slice(), compression, members.len() as u64, Digest::of(&layer)).unwrap();
    }
}

#[test]
fn a_bomb_stops_at_the_ratio() {
    let bomb = Tar::default().entry(header("zeros", b'0', 80 << 20, "", 0o644), &vec![0; 80 << 20]).end();
    for compression in [Compression::Gzip, Compression::Zstd] {
        let scene = Scene::new();
        let error = scene.unpack(std::slice::from_ref(&bomb), compression, Walk::Kernel).unwrap_err();
        let UnpackError::Refused { source: Refusal::Limit { what: Counted::Bytes, limit }, .. } = error else {
            panic!("{error:?}")
        };
        assert_eq!(limit, limits::RATIO_FLOOR);
    }
}

#[test]
fn metadata_is_bounded_before_it_is_read() {
    let claimed = Tar::default().entry(header("pax", b'x', 800 << 20, "", 0o644), b"").raw(&[b'9'; 4096]).0;
    assert!(matches!(refused(&[claimed]), Refusal::Limit { what: Counted::Metadata, .. }));
    let global = Tar::default().entry(header("g", b'g', 800 << 20, "", 0o644), b"").raw(&[b'9'; 4096]).0;
    assert!(matches!(refused(&[global]), Refusal::Limit { what: Counted::Metadata, .. }));
}

#[test]
fn a_zstd_window_of_two_gigabytes_is_refused() {
    // Magic, a frame header with window descriptor 0xa8 (2^31), one raw last block of one byte.
    let frame = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8, 0x09, 0x00, 0x00, 0x00];
    let scene = Scene::new();
    let mut extraction = Extraction::new(Root::open(&scene.tree()).unwrap());
    let applied = extraction.apply(frame.as_slice(), Compression::Zstd, 10, Digest::of(b""));
    assert!(matches!(applied, Err(UnpackError::Refused { source: Refusal::Compression(_), .. })), "{applied:?}");
}

#[test]
fn damage_anywhere_neither_panics_nor_escapes() {
    let comment = record("path", "lib/renamed");
    let archive = Tar::default()
        .directory("lib/")
        .file("lib/a.so", &[7; 700])
        .link("lib/a.so.1", "../lib/a.so")
        .hard("copy", "lib/a.so")
        .entry(header("pax", b'x', comment.len() as u64, "", 0o644), comment.as_bytes())
        .file("f", b"x")
        .script("run.sh")
        .file("lib/.wh.gone", b"")
        .end();
    let mut state = 1_u32;
    let mut random = |below: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as usize % below
    };
    let interesting = [0, b'.', b'/', b'0', b'1', b'2', b'5', b'7', b'x', b'L', b'K', b'g', b'S', 0x80, 0xff];
    let mut unpacked = 0;
    for _ in 0..500 {
        let mut damaged = archive.clone();
        for _ in 0..=random(3) {
            let block = random(damaged.len() / 512) * 512;
            let at = block
                + [random(100), 124 + random(12), 156, 157 + random(100), 257 + random(8), random(512)][random(6)];
            damaged[at] = interesting[random(interesting.len())];
            // A right checksum lets the damage through to what comes after it.
            if let Some(header) = damaged[block..].first_chunk::<512>().filter(|header| header[257..262] == *b"ustar") {
                let sealed = seal(*header);
                damaged[block..block + 512].copy_from_slice(&sealed);
            }
        }
        let scene = Scene::new();
        unpacked += usize::from(scene.unpack(&[damaged], Compression::None, Walk::Kernel).is_ok());
        assert_eq!(std::fs::read_to_string(scene.directory.path().join("outside/victim")).unwrap(), "untouched");
        assert_eq!(std::fs::read_dir(scene.directory.path()).unwrap().count(), 2);
        assert_links_stay_inside(&scene.tree(), &scene.tree().canonicalize().unwrap());
    }
    assert!(unpacked > 20, "{unpacked}: the damage is too much to test anything");
}

fn assert_links_stay_inside(directory: &Path, root: &Path) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if let Ok(target) = path.canonicalize() {
            assert!(target.starts_with(root), "{path:?} leads to {target:?}");
        }
        if path.symlink_metadata().unwrap().is_dir() {
            assert_links_stay_inside(&path, root);
        }
    }
}
