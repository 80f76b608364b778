//! Processes of others that are held: as long as one is, its number is nobody else's.

#[cfg(windows)]
mod windows;

#[cfg(windows)]
pub(super) use windows::Process;
