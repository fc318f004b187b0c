//! How a comparison of two policies is shown: [`text`], [`json`] and [`summary`], whatever was compared.
#![allow(
    dead_code,
    unused_imports,
    reason = "the comparison that is shown is made in the compiler and is not there yet"
)]

mod bytecode;
mod count;
pub(crate) mod json;
mod markdown;
mod paint;
mod picture;
#[cfg(test)]
mod sample;
mod stat;
pub(crate) mod summary;
pub(crate) mod text;
mod words;

pub(crate) use paint::Paint;
