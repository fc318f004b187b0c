//! The sum over an object file: SHA-256 of all its bytes, with zeros where the sum itself stands.
//!
//! It tells damage, as a bad disk or a broken copy leaves it, from a change that somebody made: whoever changes a file on
//! purpose makes the sum again. Whether the code is what the text says is for [`crate::faithful`].

use sha2::{Digest, Sha256};

use super::read::file::File;
use super::{ObjectError, SUM};

/// Bytes of the sum.
pub(super) const SIZE: usize = 32;

/// Writes the sum of a file into its section, which holds zeros.
pub(super) fn seal(mut bytes: Vec<u8>) -> Result<Vec<u8>, ObjectError> {
    let sum = Sha256::digest(&bytes);
    let place = place(&bytes)?;
    match place.and_then(|start| bytes.get_mut(start..)?.get_mut(..SIZE)) {
        Some(section) => section.copy_from_slice(&sum),
        None => {
            return Err(ObjectError::Unwritable {
                what: "the section of the sum is not where it was put".to_owned(),
            });
        }
    }
    Ok(bytes)
}

/// Whether an object still has the bytes that it was written with.
///
/// # Errors
///
/// It has not, or it is not a sockc object, or one of a sockc that wrote no sum.
pub fn check_sum(bytes: &[u8]) -> Result<(), ObjectError> {
    let damaged = || ObjectError::damaged("its bytes are not those that its sum was made of");
    let start = place(bytes)?.ok_or_else(|| ObjectError::damaged("it has no sum"))?;
    let end = start.checked_add(SIZE).ok_or_else(damaged)?;
    let (Some(before), Some(kept), Some(after)) =
        (bytes.get(..start), bytes.get(start..end), bytes.get(end..))
    else {
        return Err(damaged());
    };
    let mut sum = Sha256::new();
    sum.update(before);
    sum.update([0; SIZE]);
    sum.update(after);
    if sum.finalize().as_slice() == kept {
        Ok(())
    } else {
        Err(damaged())
    }
}

/// The sum that stands in an object, which nobody has compared; `None` if there is none.
#[must_use]
pub fn kept_sum(bytes: &[u8]) -> Option<[u8; SIZE]> {
    let start = place(bytes).ok()??;
    bytes.get(start..)?.first_chunk::<SIZE>().copied()
}

/// Where the sum begins; `None` if the file has no section for it.
fn place(bytes: &[u8]) -> Result<Option<usize>, ObjectError> {
    let range = File::open(bytes)?.range(SUM);
    Ok(range.and_then(|(start, _)| usize::try_from(start).ok()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::tests::artifact;
    use crate::object::write;

    #[test]
    fn every_changed_byte_is_seen() {
        let bytes = write(&artifact()).unwrap();
        assert_eq!(check_sum(&bytes), Ok(()));
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(check_sum(&changed).is_err(), "{at}");
        }
    }
}
