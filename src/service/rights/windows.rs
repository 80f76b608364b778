//! Security descriptors of files and directories, read and written.
#![expect(unsafe_code, reason = "security descriptors are functions of the system")]

use std::ffi::{OsString, c_void};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::windows::ffi::{OsStrExt, OsStringExt};
use std::os::windows::fs::{MetadataExt, OpenOptionsExt};
use std::os::windows::io::{AsRawHandle, FromRawHandle};
use std::path::{Path, PathBuf};
use std::ptr::{null, null_mut};

use windows_sys::Win32::Foundation::{ERROR_SUCCESS, GENERIC_WRITE, INVALID_HANDLE_VALUE, LocalFree};
use windows_sys::Win32::Security::Authorization::{
    ConvertSidToStringSidW, ConvertStringSecurityDescriptorToSecurityDescriptorW, GetSecurityInfo, SDDL_REVISION_1,
    SE_FILE_OBJECT, SetSecurityInfo,
};
use windows_sys::Win32::Security::{
    ACCESS_ALLOWED_ACE, ACE_HEADER, ACL, DACL_SECURITY_INFORMATION, GetAce, GetSecurityDescriptorDacl,
    GetSecurityDescriptorOwner, INHERIT_ONLY_ACE, OWNER_SECURITY_INFORMATION, PROTECTED_DACL_SECURITY_INFORMATION,
    PSECURITY_DESCRIPTOR, PSID, SECURITY_ATTRIBUTES,
};
use windows_sys::Win32::Storage::FileSystem::{
    CREATE_NEW, CreateDirectoryW, CreateFileW, FILE_ATTRIBUTE_DIRECTORY, FILE_ATTRIBUTE_NORMAL,
    FILE_ATTRIBUTE_REPARSE_POINT, FILE_FLAG_BACKUP_SEMANTICS, FILE_FLAG_OPEN_REPARSE_POINT, FILE_READ_ATTRIBUTES,
    FILE_SHARE_DELETE, FILE_SHARE_READ, FILE_SHARE_WRITE, READ_CONTROL, WRITE_DAC, WRITE_OWNER,
};
use windows_sys::Win32::System::Com::CoTaskMemFree;
use windows_sys::Win32::UI::Shell::{FOLDERID_ProgramData, SHGetKnownFolderPath};

use super::{Access, Allowed, strangers, strangers_above};
use crate::owner::Owner;
use crate::process::account;

/// Kinds of entries (winnt.h): those that allow, also with a condition, and those that deny.
const ALLOWED: [u8; 2] = [0, 9];
const DENIED: [u8; 4] = [1, 6, 10, 12];

/// Stands for the one in an entry that has another form.
const SOMEBODY: &str = "somebody";

/// Where it is unless somebody moved it.
const PROGRAM_DATA: &str = r"C:\ProgramData";

/// `%ProgramData%`, by the system's own record: a variable is the user's to change, and that of a service may be another.
pub fn program_data() -> PathBuf {
    let mut name: *mut u16 = null_mut();
    // SAFETY: the identifier is a constant, no user stands for all, and the place lives until the call has returned.
    let failed = unsafe { SHGetKnownFolderPath(&FOLDERID_ProgramData, 0, null_mut(), &mut name) } < 0;
    // SAFETY: where it has not failed it is a text that ends with a zero.
    let found = if failed { None } else { Some(unsafe { read(name) }) };
    // SAFETY: it was allocated for us in this way, or is null, and is used no more.
    unsafe { CoTaskMemFree(name.cast()) };
    found.map_or_else(|| PROGRAM_DATA.into(), |name| PathBuf::from(OsString::from_wide(&name)))
}

const LOOKING: u32 = READ_CONTROL | FILE_READ_ATTRIBUTES;
const ALL_SHARE: u32 = FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE;

/// Whose a file or directory is, and who may do what to it itself.
pub fn access_of(path: &Path) -> io::Result<Access> {
    opened(path, LOOKING, 0).and_then(|file| access(&file))
}

/// Who may change a program, or put another into its place, and is neither trusted by the machine nor ourselves.
pub fn strangers_at(path: &Path) -> io::Result<Vec<String>> {
    let ourselves = own_sid()?;
    let mut found = strangers(&access_of(path)?, &ourselves);
    if let Some(directory) = path.parent() {
        found.extend(strangers(&access_of(directory)?, &ourselves));
    }
    found.sort();
    found.dedup();
    Ok(found)
}

/// As [`strangers_at`], and who may put another directory into the place of one further up.
pub fn strangers_by(path: &Path) -> io::Result<Vec<String>> {
    let ourselves = own_sid()?;
    let mut found = strangers_at(path)?;
    for directory in path.ancestors().skip(2) {
        found.extend(strangers_above(&access_of(directory)?, directory.parent().is_none(), &ourselves));
    }
    found.sort();
    found.dedup();
    Ok(found)
}

/// A file or directory itself, not what a link leads to; it stays the same one, whatever becomes of its name.
#[derive(Debug)]
pub struct Held(File);

impl Held {
    /// To be protected, or where we may not do that, to be looked at.
    pub fn open(path: &Path) -> io::Result<Self> {
        let opened = |rights| opened(path, rights, FILE_FLAG_OPEN_REPARSE_POINT);
        match opened(LOOKING | WRITE_DAC | WRITE_OWNER) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => opened(LOOKING),
            opened => opened,
        }
        .map(Self)
    }

    /// And no link.
    pub fn is_directory(&self) -> io::Result<bool> {
        let attributes = self.0.metadata()?.file_attributes();
        Ok(attributes & (FILE_ATTRIBUTE_DIRECTORY | FILE_ATTRIBUTE_REPARSE_POINT) == FILE_ATTRIBUTE_DIRECTORY)
    }

    pub fn access(&self) -> io::Result<Access> {
        access(&self.0)
    }

    /// Gives it another owner and list, and to what inherits from it.
    pub fn protect(&self, descriptor: &str) -> io::Result<()> {
        let descriptor = Descriptor::new(descriptor)?;
        let (owner, list) = (descriptor.owner()?, descriptor.list()?);
        let what = OWNER_SECURITY_INFORMATION | DACL_SECURITY_INFORMATION | PROTECTED_DACL_SECURITY_INFORMATION;
        // SAFETY: the handle is open; owner and list are parts of the descriptor, which outlives the call.
        let code =
            unsafe { SetSecurityInfo(self.0.as_raw_handle(), SE_FILE_OBJECT, what, owner, null_mut(), list, null()) };
        if code == ERROR_SUCCESS { Ok(()) } else { Err(io::Error::from_raw_os_error(code.cast_signed())) }
    }
}

/// Directories, too.
fn opened(path: &Path, rights: u32, flags: u32) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.access_mode(rights).share_mode(ALL_SHARE).custom_flags(FILE_FLAG_BACKUP_SEMANTICS | flags);
    options.open(path)
}

fn access(file: &File) -> io::Result<Access> {
    let (mut owner, mut list, mut descriptor) = (null_mut(), null_mut(), null_mut());
    let what = OWNER_SECURITY_INFORMATION | DACL_SECURITY_INFORMATION;
    // SAFETY: the handle is open; all places live until the call has returned.
    let code = unsafe {
        GetSecurityInfo(
            file.as_raw_handle(),
            SE_FILE_OBJECT,
            what,
            &mut owner,
            null_mut(),
            &mut list,
            null_mut(),
            &mut descriptor,
        )
    };
    let _descriptor = Local(descriptor);
    if code != ERROR_SUCCESS {
        return Err(io::Error::from_raw_os_error(code.cast_signed()));
    }
    Ok(Access { owner: text_of(owner)?, list: if list.is_null() { None } else { Some(entries(list)?) } })
}

fn entries(list: *const ACL) -> io::Result<Vec<Allowed>> {
    // SAFETY: the list is part of a descriptor that its reader holds.
    let count = unsafe { (*list).AceCount };
    let mut found = Vec::new();
    for at in 0..u32::from(count) {
        let mut entry: *mut c_void = null_mut();
        // SAFETY: the list is whole, and the place lives until the call has returned.
        if unsafe { GetAce(list, at, &mut entry) } == 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: every entry begins with a header.
        let header = unsafe { *entry.cast::<ACE_HEADER>() };
        if DENIED.contains(&header.AceType) || u32::from(header.AceFlags) & INHERIT_ONLY_ACE != 0 {
            continue;
        }
        found.push(if ALLOWED.contains(&header.AceType) {
            let entry = entry.cast::<ACCESS_ALLOWED_ACE>();
            // SAFETY: an entry of this kind has a mask and, from `SidStart` on, a SID.
            let (mask, sid) = unsafe { ((*entry).Mask, &raw mut (*entry).SidStart) };
            Allowed { sid: text_of(sid.cast())?, mask }
        } else {
            Allowed { sid: SOMEBODY.into(), mask: u32::MAX }
        });
    }
    Ok(found)
}

/// Whoever this process runs as.
pub fn own_sid() -> io::Result<String> {
    let ourselves = account::own();
    let sid = ourselves.as_ref().and_then(Owner::sid).map(str::to_owned);
    sid.ok_or_else(|| io::Error::other("Windows does not say whose this process is"))
}

/// A new directory; an error where there is something by that name.
pub fn make_directory(path: &Path, descriptor: &str) -> io::Result<()> {
    let (name, descriptor) = (wide(path), Descriptor::new(descriptor)?);
    // SAFETY: the name ends with a zero, and both live until the call has returned.
    let made = unsafe { CreateDirectoryW(name.as_ptr(), &descriptor.attributes()) };
    if made == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A new file to write, which may be renamed meanwhile; an error where there is something by that name.
pub fn create_file(path: &Path, descriptor: &str) -> io::Result<File> {
    let (name, descriptor) = (wide(path), Descriptor::new(descriptor)?);
    // SAFETY: the name ends with a zero, and both live until the call has returned.
    let file = unsafe {
        CreateFileW(
            name.as_ptr(),
            GENERIC_WRITE,
            ALL_SHARE,
            &descriptor.attributes(),
            CREATE_NEW,
            FILE_ATTRIBUTE_NORMAL,
            null_mut(),
        )
    };
    if file == INVALID_HANDLE_VALUE {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the handle is open, and nobody else's.
    Ok(unsafe { File::from_raw_handle(file) })
}

/// What a text of the language of security descriptors says.
struct Descriptor(Local);

impl Descriptor {
    fn new(text: &str) -> io::Result<Self> {
        let text: Vec<u16> = text.encode_utf16().chain([0]).collect();
        let mut descriptor: PSECURITY_DESCRIPTOR = null_mut();
        // SAFETY: the text ends with a zero, and the place lives until the call has returned.
        let made = unsafe {
            ConvertStringSecurityDescriptorToSecurityDescriptorW(
                text.as_ptr(),
                SDDL_REVISION_1,
                &mut descriptor,
                null_mut(),
            )
        };
        if made == 0 { Err(io::Error::last_os_error()) } else { Ok(Self(Local(descriptor))) }
    }

    /// For as long as we live.
    fn attributes(&self) -> SECURITY_ATTRIBUTES {
        SECURITY_ATTRIBUTES {
            nLength: size_of::<SECURITY_ATTRIBUTES>() as u32,
            lpSecurityDescriptor: self.0.0,
            bInheritHandle: 0,
        }
    }

    fn owner(&self) -> io::Result<PSID> {
        let (mut owner, mut by_default) = (null_mut(), 0);
        // SAFETY: the descriptor is whole, and the places live until the call has returned.
        let known = unsafe { GetSecurityDescriptorOwner(self.0.0, &mut owner, &mut by_default) };
        if known == 0 { Err(io::Error::last_os_error()) } else { Ok(owner) }
    }

    fn list(&self) -> io::Result<*const ACL> {
        let (mut there, mut list, mut by_default) = (0, null_mut(), 0);
        // SAFETY: the descriptor is whole, and the places live until the call has returned.
        let known = unsafe { GetSecurityDescriptorDacl(self.0.0, &mut there, &mut list, &mut by_default) };
        if known == 0 { Err(io::Error::last_os_error()) } else { Ok(list) }
    }
}

/// Memory that the system gave us.
struct Local(*mut c_void);

impl Drop for Local {
    fn drop(&mut self) {
        // SAFETY: it was allocated for us in this way, or is null, and is used no more.
        unsafe { LocalFree(self.0) };
    }
}

fn text_of(sid: PSID) -> io::Result<String> {
    let mut text: *mut u16 = null_mut();
    // SAFETY: the SID is part of something that its reader holds; the place lives until the call has returned.
    if unsafe { ConvertSidToStringSidW(sid, &mut text) } == 0 {
        return Err(io::Error::last_os_error());
    }
    let _text = Local(text.cast());
    // SAFETY: the text ends with a zero.
    Ok(String::from_utf16_lossy(&unsafe { read(text) }))
}

/// # Safety
///
/// The text ends with a zero.
unsafe fn read(text: *const u16) -> Vec<u16> {
    // SAFETY: nothing behind the zero is looked at.
    (0..).map(|at| unsafe { *text.add(at) }).take_while(|letter| *letter != 0).collect()
}

fn wide(path: &Path) -> Vec<u16> {
    path.as_os_str().encode_wide().chain([0]).collect()
}
