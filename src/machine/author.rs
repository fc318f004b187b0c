//! Who puts a policy in force, and from where: what `sockc history` tells later.

use std::env;
use std::path::{self, Path};
use std::sync::Arc;

use nix::unistd::{Uid, User};
use sockc_runtime::Author;

use crate::cli::Why;
use crate::files::input::{is_stream, title};

/// Whoever runs this command.
pub(crate) fn author(why: &Why) -> Author {
    let uid = Uid::current();
    let user = User::from_uid(uid).ok().flatten();
    Author {
        uid: uid.as_raw(),
        user: user.map(|user| user.name),
        sudo_user: env::var("SUDO_USER").ok().filter(|name| is_name(name)),
        note: why.note.clone(),
        ..Author::default()
    }
}

/// The same with the file that the policy is read from.
pub(crate) fn of_file(file: &Path, why: &Why) -> Arc<Author> {
    let whole = match is_stream(file) {
        true => title(file),
        false => path::absolute(file).map_or_else(|_| title(file), |file| title(&file)),
    };
    Arc::new(Author {
        file: Some(whole),
        ..author(why)
    })
}

/// Anybody may set the variable to anything.
fn is_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= 256 && !name.chars().any(char::is_control)
}

/// Who it was, in words.
pub(crate) fn words(author: &Author) -> String {
    let uid = author.uid;
    let user = author.user.clone().unwrap_or_else(|| format!("uid {uid}"));
    match author.sudo_user.as_ref().filter(|name| **name != user) {
        Some(sudo_user) => format!("{user} (sudo of {sudo_user})"),
        None => user,
    }
}
