//! Security descriptors of files and directories, read and written.
#![expect(unsafe_code, reason = "security descriptors are functions of the system")]

use std::ffi::{OsString, c_void};
use std::fs::File;
use std::io;
use std::os::windows::ffi::{OsStrExt, OsStringExt};
use std::os::windows::io::FromRawHandle;
use std::path::{Path, PathBuf};
use std::ptr::{null, null_mut};

use windows_sys::Win32::Foundation::{
    CloseHandle, ERROR_SUCCESS, GENERIC_WRITE, HANDLE, INVALID_HANDLE_VALUE, LocalFree,
};
use windows_sys::Win32::Security::Authorization::{
    ConvertSidToStringSidW, ConvertStringSecurityDescriptorToSecurityDescriptorW, GetNamedSecurityInfoW,
    SDDL_REVISION_1, SE_FILE_OBJECT, SetNamedSecurityInfoW,
};
use windows_sys::Win32::Security::{
    ACCESS_ALLOWED_ACE, ACE_HEADER, ACL, DACL_SECURITY_INFORMATION, GetAce, GetSecurityDescriptorDacl,
    GetSecurityDescriptorOwner, GetTokenInformation, INHERIT_ONLY_ACE, OWNER_SECURITY_INFORMATION,
    PROTECTED_DACL_SECURITY_INFORMATION, PSECURITY_DESCRIPTOR, PSID, SECURITY_ATTRIBUTES, TOKEN_QUERY, TOKEN_USER,
    TokenUser,
};
use windows_sys::Win32::Storage::FileSystem::{
    CREATE_NEW, CreateDirectoryW, CreateFileW, FILE_ATTRIBUTE_NORMAL, FILE_SHARE_DELETE, FILE_SHARE_READ,
    FILE_SHARE_WRITE,
};
use windows_sys::Win32::System::Com::CoTaskMemFree;
use windows_sys::Win32::System::Threading::{GetCurrentProcess, OpenProcessToken};
use windows_sys::Win32::UI::Shell::{FOLDERID_ProgramData, SHGetKnownFolderPath};

use super::{Access, Allowed};

/// Kinds of entries (winnt.h): those that allow, also with a condition, and those that deny.
const ALLOWED: [u8; 2] = [0, 9];
const DENIED: [u8; 4] = [1, 6, 10, 12];

/// Stands for the one in an entry that has another form.
const SOMEBODY: &str = "somebody";

/// Where it is unless somebody moved it.
const PROGRAM_DATA: &str = r"C:\ProgramData";

/// A user's SID and what belongs to it take less.
const LARGEST_USER: usize = 256;

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

/// Whose a file or directory is, and who may do what to it itself.
pub fn access_of(path: &Path) -> io::Result<Access> {
    let name = wide(path);
    let (mut owner, mut list, mut descriptor) = (null_mut(), null_mut(), null_mut());
    let what = OWNER_SECURITY_INFORMATION | DACL_SECURITY_INFORMATION;
    // SAFETY: the name ends with a zero; all places live until the call has returned.
    let code = unsafe {
        GetNamedSecurityInfoW(
            name.as_ptr(),
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
    let mut token: HANDLE = null_mut();
    // SAFETY: the handle of the process is a constant; the place lives until the call has returned.
    if unsafe { OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &mut token) } == 0 {
        return Err(io::Error::last_os_error());
    }
    let mut room = [0_u64; LARGEST_USER / 8];
    let mut used = 0;
    // SAFETY: the token is open, and the room as large as it is said to be, and aligned for what is put there.
    let known =
        unsafe { GetTokenInformation(token, TokenUser, room.as_mut_ptr().cast(), LARGEST_USER as u32, &mut used) };
    let result = if known == 0 {
        Err(io::Error::last_os_error())
    } else {
        // SAFETY: this is what was asked for, and the SID it points to is in the same room.
        text_of(unsafe { (*room.as_ptr().cast::<TOKEN_USER>()).User.Sid })
    };
    // SAFETY: the handle is ours, and used no more.
    unsafe { CloseHandle(token) };
    result
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
            FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE,
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

/// Gives what is there another owner and list, and to what inherits from it.
pub fn protect(path: &Path, descriptor: &str) -> io::Result<()> {
    let (name, descriptor) = (wide(path), Descriptor::new(descriptor)?);
    let (owner, list) = (descriptor.owner()?, descriptor.list()?);
    let what = OWNER_SECURITY_INFORMATION | DACL_SECURITY_INFORMATION | PROTECTED_DACL_SECURITY_INFORMATION;
    // SAFETY: the name ends with a zero; owner and list are parts of the descriptor, which outlives the call.
    let code = unsafe { SetNamedSecurityInfoW(name.as_ptr(), SE_FILE_OBJECT, what, owner, null_mut(), list, null()) };
    if code == ERROR_SUCCESS { Ok(()) } else { Err(io::Error::from_raw_os_error(code.cast_signed())) }
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
