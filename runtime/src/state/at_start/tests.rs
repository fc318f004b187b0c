//! What is written is read, and what is not as it was written is told and not used.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

static NEXT: AtomicU32 = AtomicU32::new(0);

struct Scene {
    place: Place,
}

impl Scene {
    fn new() -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("sockc-at-start-{}-{number}", std::process::id());
        let root = std::env::temp_dir().join(name);
        Self {
            place: Place {
                folder: root.join("host"),
                root,
                is_host: true,
            },
        }
    }

    fn keep(&self, generation: u32, object: &[u8]) {
        let head = Head::Policy(about(generation));
        self.place.write(&head, object).unwrap();
    }

    /// The generations that the last file and the one before hold; 0 for none.
    fn generations(&self) -> [u32; 2] {
        self.place.look().map(|one| match one.found {
            Ok(KeptOnDisk::Policy(about, _)) => about.generation,
            _ => 0,
        })
    }

    fn last(&self) -> PathBuf {
        self.place.folder.join(LAST)
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.place.root);
    }
}

fn about(generation: u32) -> AtStart {
    AtStart {
        readers: None,
        generation,
        applied: Some(7),
        policy: "edge".to_owned(),
        author: None,
        interfaces: vec!["eth?".to_owned()],
    }
}

#[test]
fn the_last_one_and_the_one_before_are_kept_for_root_alone() {
    let scene = Scene::new();
    scene.keep(1, b"one");
    assert_eq!(scene.generations(), [1, 0]);
    scene.keep(2, b"two");
    scene.keep(3, b"three");
    assert_eq!(scene.generations(), [3, 2]);
    // The same again pushes nothing out.
    scene.keep(4, b"three");
    assert_eq!(scene.generations(), [3, 2]);
    let [last, _] = scene.place.look();
    let kept = KeptOnDisk::Policy(about(3), b"three".to_vec());
    assert_eq!(last.found, Ok(kept));
    for (path, mode) in [
        (&scene.place.root, 0o700),
        (&scene.place.folder, 0o700),
        (&scene.last(), 0o600),
    ] {
        let about = fs::metadata(path).unwrap();
        assert_eq!(about.permissions().mode() & 0o777, mode, "{path:?}");
    }
    let names = fs::read_dir(&scene.place.folder).unwrap().count();
    assert_eq!(names, 2, "nothing is left beside them");
}

#[test]
fn what_was_taken_away_does_not_come_back() {
    let scene = Scene::new();
    scene.keep(1, b"one");
    scene.keep(2, b"two");
    scene.place.write(&Head::Unloaded(Some(9)), &[]).unwrap();
    let [last, before] = scene.place.look();
    assert_eq!(last.found, Ok(KeptOnDisk::Unloaded(Some(9))));
    assert!(!before.path.exists());
    assert!(scene.place.outlook().starts_with("nothing in force then"));
    scene.keep(3, b"three");
    assert_eq!(scene.generations(), [3, 0]);
}

#[test]
fn damage_anywhere_is_told_and_is_not_what_comes_before() {
    let scene = Scene::new();
    scene.keep(1, b"one");
    scene.keep(2, b"two");
    let whole = fs::read(scene.last()).unwrap();
    for at in 0..whole.len() {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        assert!(parse(&changed).is_err(), "{at}");
        assert!(parse(&whole[..at]).is_err(), "{at}");
    }
    fs::write(scene.last(), &whole[..whole.len() / 2]).unwrap();
    assert_eq!(scene.generations(), [0, 1]);
    assert!(scene.place.outlook().starts_with("generation 1"));
    scene.keep(3, b"three");
    assert_eq!(scene.generations(), [3, 1], "the sound one stays");
}

/// How something at the place of a file, or its folder, is made, and what is said of it.
type Case = (fn(&Scene), &'static str);

#[test]
fn what_others_can_have_written_is_not_read() {
    let mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    let cases: [Case; 8] = [
        (|scene| fs::write(scene.last(), b"").unwrap(), "it is empty"),
        (
            |scene| {
                fs::remove_file(scene.last()).unwrap();
                fs::create_dir(scene.last()).unwrap();
            },
            "no regular file",
        ),
        (
            |scene| {
                let there = scene.place.folder.join("there");
                fs::rename(scene.last(), &there).unwrap();
                symlink(there, scene.last()).unwrap();
            },
            "symbolic link",
        ),
        (
            |scene| {
                fs::remove_file(scene.last()).unwrap();
                nix::unistd::mkfifo(&scene.last(), nix::sys::stat::Mode::S_IRUSR).unwrap();
            },
            "no regular file",
        ),
        (
            |scene| fs::write(scene.last(), b"\x7fsockc at start 2\n").unwrap(),
            "another version",
        ),
        (
            |scene| fs::remove_file(scene.last()).unwrap(),
            "No such file",
        ),
        (
            |scene| {
                let mode = fs::Permissions::from_mode(0o602);
                fs::set_permissions(scene.last(), mode).unwrap();
            },
            "others than its owner",
        ),
        (
            |scene| {
                let mode = fs::Permissions::from_mode(0o720);
                fs::set_permissions(&scene.place.root, mode).unwrap();
            },
            "others than its owner",
        ),
    ];
    for (make, said) in cases {
        let scene = Scene::new();
        scene.keep(1, b"one");
        make(&scene);
        let [last, _] = scene.place.look();
        let why = last.found.unwrap_err();
        assert!(why.contains(said), "{said}: {why}");
        mode(&scene.place.root, 0o700);
    }
}

#[test]
fn only_the_folder_of_the_machine_is_made() {
    let scene = Scene::new();
    let other = Place {
        root: scene.place.root.clone(),
        folder: scene.place.root.join("netns/blue"),
        is_host: false,
    };
    let head = Head::Policy(about(1));
    assert!(other.write(&head, b"one").is_err());
    assert!(!scene.place.root.exists());
    fs::create_dir_all(&other.folder).unwrap();
    other.write(&head, b"one").unwrap();
    assert!(other.look()[0].found.is_ok());
}
