//! The calls of secur32.dll, with buffers of our own that are wiped, and handles that are given back.

use std::ffi::c_void;
use std::ptr;
use std::slice;
use std::time::{Duration, SystemTime};

use windows_sys::Win32::Foundation::{HANDLE, LUID, SEC_I_COMPLETE_AND_CONTINUE, SEC_I_COMPLETE_NEEDED};
use windows_sys::Win32::Security::Authentication::Identity::{
    AcquireCredentialsHandleW, CompleteAuthToken, DeleteSecurityContext, FreeContextBuffer, FreeCredentialsHandle,
    InitializeSecurityContextW, KERB_QUERY_TKT_CACHE_EX_RESPONSE, KERB_QUERY_TKT_CACHE_REQUEST,
    KERB_QUERY_TKT_CACHE_RESPONSE, KERB_TICKET_CACHE_INFO, KERB_TICKET_CACHE_INFO_EX, KerbQueryTicketCacheExMessage,
    KerbQueryTicketCacheMessage, LSA_STRING, LSA_UNICODE_STRING, LsaCallAuthenticationPackage, LsaConnectUntrusted,
    LsaDeregisterLogonProcess, LsaFreeReturnBuffer, LsaLookupAuthenticationPackage, QueryCredentialsAttributesW,
    QuerySecurityPackageInfoW, SEC_CHANNEL_BINDINGS, SECBUFFER_CHANNEL_BINDINGS, SECBUFFER_TOKEN, SECBUFFER_VERSION,
    SECPKG_CRED_ATTR_NAMES, SECPKG_CRED_OUTBOUND, SECURITY_NETWORK_DREP, SecBuffer, SecBufferDesc, SecPkgInfoW,
};
use windows_sys::Win32::Security::Credentials::SecHandle;
use zeroize::Zeroizing;

use super::{Package, Status};

/// From 1601, where Windows begins to count, to 1970.
const WINDOWS_EPOCH: Duration = Duration::from_secs(11_644_473_600);

/// Neither delegation nor mutual authentication is asked for, and never that the package brings the buffer.
const REQUIREMENTS: u32 = 0;

/// Of whoever is logged in.
pub(in super::super) struct Credentials {
    handle: SecHandle,
    largest: usize,
}

impl Credentials {
    #[expect(unsafe_code, reason = "the system's call for credentials")]
    pub(in super::super) fn of_the_logged_in(package: Package) -> Result<Self, Status> {
        let name = wide(package.name());
        let largest = largest_token(&name)?;
        let mut handle = SecHandle::default();
        // SAFETY: the name ends in zero, all that is null may be, and the handle is a place of ours.
        let status = Status(unsafe {
            AcquireCredentialsHandleW(
                ptr::null(),
                name.as_ptr(),
                SECPKG_CRED_OUTBOUND,
                ptr::null(),
                ptr::null(),
                None,
                ptr::null(),
                &raw mut handle,
                ptr::null_mut(),
            )
        });
        if status.is_error() { Err(status) } else { Ok(Self { handle, largest }) }
    }

    /// Whose they are, where the package says so.
    #[expect(unsafe_code, reason = "the system's call for what credentials are")]
    pub(in super::super) fn owner(&self) -> Option<String> {
        let mut name: *mut u16 = ptr::null_mut();
        // SAFETY: the handle lives; the attribute is a structure of one pointer, for which there is a place.
        let status = Status(unsafe {
            QueryCredentialsAttributesW(&self.handle, SECPKG_CRED_ATTR_NAMES, (&raw mut name).cast())
        });
        if status.is_error() || name.is_null() {
            return None;
        }
        // SAFETY: the package made a text that ends in zero; it is freed once, after its last use.
        let owner = unsafe {
            let length = (0..).take_while(|at| *name.add(*at) != 0).count();
            let owner = String::from_utf16_lossy(slice::from_raw_parts(name, length));
            FreeContextBuffer(name.cast());
            owner
        };
        Some(owner).filter(|owner| !owner.is_empty())
    }
}

impl Drop for Credentials {
    #[expect(unsafe_code, reason = "a handle of the system is given back")]
    fn drop(&mut self) {
        // SAFETY: it came from the system, and is used no more.
        let _nothing_to_do_about_it = unsafe { FreeCredentialsHandle(&self.handle) };
    }
}

#[expect(unsafe_code, reason = "the system's call for what a package is like")]
fn largest_token(package: &[u16]) -> Result<usize, Status> {
    let mut found: *mut SecPkgInfoW = ptr::null_mut();
    // SAFETY: the name ends in zero; on success the place points to what is ours to free.
    let status = Status(unsafe { QuerySecurityPackageInfoW(package.as_ptr(), &raw mut found) });
    // SAFETY: it is null or was made by the call.
    let Some(largest) = (unsafe { found.as_ref() }).map(|found| found.cbMaxToken) else { return Err(status) };
    // SAFETY: it is the system's, and used no more.
    unsafe { FreeContextBuffer(found.cast()) };
    usize::try_from(largest).map_err(|_| status)
}

/// One handshake.
pub(in super::super) struct Context {
    credentials: Credentials,
    handle: Option<SecHandle>,
    target: Vec<u16>,
    binding: Option<Binding>,
}

impl Context {
    /// `binding`: what GSS-API and NTLM bind to, as [`crate::auth::binding_data`] has it.
    pub(in super::super) fn new(credentials: Credentials, target: &str, binding: Option<Vec<u8>>) -> Self {
        let binding = binding.map(|data| Binding::of(&data));
        Self { credentials, handle: None, target: wide(target), binding }
    }

    /// The next message of ours. May wait for a domain controller.
    #[expect(unsafe_code, reason = "the system's calls for messages")]
    pub(in super::super) fn step(&mut self, challenge: Option<&[u8]>) -> Result<Zeroizing<Vec<u8>>, Status> {
        // As large as the package's largest, because it may only be filled, not grown.
        let mut message = Zeroizing::new(vec![0_u8; self.credentials.largest]);
        let mut output = [buffer(SECBUFFER_TOKEN, message.as_mut_ptr(), message.len())];
        let mut to = description(&mut output);
        let mut challenge = challenge.map(<[u8]>::to_vec);
        let mut input = Vec::with_capacity(2);
        input.extend(challenge.as_mut().map(|bytes| buffer(SECBUFFER_TOKEN, bytes.as_mut_ptr(), bytes.len())));
        input.extend(self.binding.as_mut().map(Binding::as_buffer));
        let from = description(&mut input);
        let former = self.handle;
        let mut next = former.unwrap_or_default();
        let mut granted = 0;
        // SAFETY: the handles are the system's or null, the target ends in zero, and every buffer lives, and is as
        // large as it says, until the call has returned.
        let status = Status(unsafe {
            InitializeSecurityContextW(
                &self.credentials.handle,
                former.as_ref().map_or(ptr::null(), ptr::from_ref),
                self.target.as_ptr(),
                REQUIREMENTS,
                0,
                SECURITY_NETWORK_DREP,
                if input.is_empty() { ptr::null() } else { &raw const from },
                0,
                &raw mut next,
                &raw mut to,
                &raw mut granted,
                ptr::null_mut(),
            )
        });
        if status.is_error() {
            return Err(status);
        }
        self.handle = Some(next);
        if [SEC_I_COMPLETE_NEEDED, SEC_I_COMPLETE_AND_CONTINUE].contains(&status.0) {
            // SAFETY: the context was made above, and the buffers are those it was made with.
            let completed = Status(unsafe { CompleteAuthToken(&raw const next, &raw const to) });
            if completed.is_error() {
                return Err(completed);
            }
        }
        let written = usize::try_from(output[0].cbBuffer).unwrap_or_default();
        Ok(Zeroizing::new(message.get(..written).unwrap_or_default().to_vec()))
    }
}

impl Drop for Context {
    #[expect(unsafe_code, reason = "a handle of the system is given back")]
    fn drop(&mut self) {
        if let Some(handle) = &self.handle {
            // SAFETY: it came from the system, and is used no more.
            let _nothing_to_do_about_it = unsafe { DeleteSecurityContext(handle) };
        }
    }
}

fn buffer(kind: u32, bytes: *mut u8, length: usize) -> SecBuffer {
    SecBuffer { cbBuffer: u32::try_from(length).unwrap_or_default(), BufferType: kind, pvBuffer: bytes.cast() }
}

fn description(buffers: &mut [SecBuffer]) -> SecBufferDesc {
    let count = u32::try_from(buffers.len()).unwrap_or_default();
    SecBufferDesc { ulVersion: SECBUFFER_VERSION, cBuffers: count, pBuffers: buffers.as_mut_ptr() }
}

/// `SEC_CHANNEL_BINDINGS` with the data behind it; in words, so that it is aligned for what it holds.
struct Binding {
    words: Vec<u32>,
    length: usize,
}

impl Binding {
    /// Neither side's address is bound to: its kind and length, and the offset of nothing, are zero.
    fn of(data: &[u8]) -> Self {
        const HEADER: usize = size_of::<SEC_CHANNEL_BINDINGS>();
        let number = |length: usize| u32::try_from(length).unwrap_or_default();
        let mut words = vec![0, 0, 0, 0, 0, 0, number(data.len()), number(HEADER)];
        words.extend(data.chunks(4).map(|four| {
            let mut word = [0; 4];
            word[..four.len()].copy_from_slice(four);
            u32::from_ne_bytes(word)
        }));
        Self { words, length: HEADER + data.len() }
    }

    fn as_buffer(&mut self) -> SecBuffer {
        buffer(SECBUFFER_CHANNEL_BINDINGS, self.words.as_mut_ptr().cast(), self.length)
    }
}

/// The ticket for tickets that the system keeps for whoever is logged in.
#[derive(Debug)]
pub(in super::super) struct Tgt {
    /// `alice@CORP.EXAMPLE`, where the system says it of tickets.
    pub(in super::super) owner: Option<String>,
    pub(in super::super) left: Duration,
}

/// The one that lives longest; nobody is asked for one.
pub(in super::super) fn tgt() -> Option<Tgt> {
    let lsa = Lsa::connect()?;
    let tickets = lsa.tickets_with_owners().or_else(|| lsa.tickets())?;
    tickets.into_iter().max_by_key(|tgt| tgt.left)
}

/// A line to the Local Security Authority.
struct Lsa {
    handle: HANDLE,
    kerberos: u32,
}

impl Lsa {
    #[expect(unsafe_code, reason = "the system's calls for its authority")]
    fn connect() -> Option<Self> {
        let mut handle: HANDLE = ptr::null_mut();
        // SAFETY: the place is ours.
        if unsafe { LsaConnectUntrusted(&raw mut handle) } != 0 {
            return None;
        }
        let mut lsa = Self { handle, kerberos: 0 };
        let mut name = *b"Kerberos";
        let length = u16::try_from(name.len()).ok()?;
        let text = LSA_STRING { Length: length, MaximumLength: length, Buffer: name.as_mut_ptr() };
        // SAFETY: the handle is open, and the text and the place live until the call has returned.
        let status = unsafe { LsaLookupAuthenticationPackage(lsa.handle, &raw const text, &raw mut lsa.kerberos) };
        (status == 0).then_some(lsa)
    }

    /// Newer systems say whose tickets they are.
    #[expect(unsafe_code, reason = "the answer is a structure with an array behind it")]
    fn tickets_with_owners(&self) -> Option<Vec<Tgt>> {
        let answer = self.ask(KerbQueryTicketCacheExMessage)?;
        let head = answer.0.cast::<KERB_QUERY_TKT_CACHE_EX_RESPONSE>();
        // SAFETY: the authority answered this question with this structure, with as many tickets as it says, whose
        // texts lie behind it; it lives as long as `answer`.
        unsafe {
            let count = usize::try_from((*head).CountOfTickets).ok()?;
            let all = slice::from_raw_parts((&raw const (*head).Tickets).cast::<KERB_TICKET_CACHE_INFO_EX>(), count);
            let of = |ticket: &KERB_TICKET_CACHE_INFO_EX| {
                let owner = format!("{}@{}", text(&ticket.ClientName), text(&ticket.ClientRealm));
                is_for_tickets(&text(&ticket.ServerName))
                    .then(|| Tgt { owner: Some(owner), left: left(ticket.EndTime) })
            };
            Some(all.iter().filter_map(of).collect())
        }
    }

    #[expect(unsafe_code, reason = "the answer is a structure with an array behind it")]
    fn tickets(&self) -> Option<Vec<Tgt>> {
        let answer = self.ask(KerbQueryTicketCacheMessage)?;
        let head = answer.0.cast::<KERB_QUERY_TKT_CACHE_RESPONSE>();
        // SAFETY: as above, with the older structure.
        unsafe {
            let count = usize::try_from((*head).CountOfTickets).ok()?;
            let all = slice::from_raw_parts((&raw const (*head).Tickets).cast::<KERB_TICKET_CACHE_INFO>(), count);
            let of = |ticket: &KERB_TICKET_CACHE_INFO| {
                is_for_tickets(&text(&ticket.ServerName)).then(|| Tgt { owner: None, left: left(ticket.EndTime) })
            };
            Some(all.iter().filter_map(of).collect())
        }
    }

    #[expect(unsafe_code, reason = "the system's call to a package")]
    fn ask(&self, what: i32) -> Option<Answer> {
        // A log-on of number zero is the caller's.
        let nobody_elses = LUID { LowPart: 0, HighPart: 0 };
        let question = KERB_QUERY_TKT_CACHE_REQUEST { MessageType: what, LogonId: nobody_elses };
        let mut answer: *mut c_void = ptr::null_mut();
        let (mut length, mut status) = (0, 0);
        // SAFETY: the handle is open, the question is a structure of the size that is said, and the places are ours.
        let asked = unsafe {
            LsaCallAuthenticationPackage(
                self.handle,
                self.kerberos,
                (&raw const question).cast(),
                u32::try_from(size_of_val(&question)).unwrap_or_default(),
                &raw mut answer,
                &raw mut length,
                &raw mut status,
            )
        };
        // Freed in any case.
        let answer = Answer(answer);
        (asked == 0 && status == 0 && !answer.0.is_null()).then_some(answer)
    }
}

impl Drop for Lsa {
    #[expect(unsafe_code, reason = "a handle of the system is given back")]
    fn drop(&mut self) {
        // SAFETY: it is open, and used no more.
        let _nothing_to_do_about_it = unsafe { LsaDeregisterLogonProcess(self.handle) };
    }
}

struct Answer(*mut c_void);

impl Drop for Answer {
    #[expect(unsafe_code, reason = "memory of the system is given back")]
    fn drop(&mut self) {
        if !self.0.is_null() {
            // SAFETY: it is the system's, and used no more.
            let _nothing_to_do_about_it = unsafe { LsaFreeReturnBuffer(self.0) };
        }
    }
}

fn is_for_tickets(service: &str) -> bool {
    service.to_ascii_lowercase().starts_with("krbtgt/")
}

/// # Safety
/// The text is as long as it says, or null.
#[expect(unsafe_code, reason = "a text of the system is a pointer and a length in bytes")]
unsafe fn text(of: &LSA_UNICODE_STRING) -> String {
    if of.Buffer.is_null() {
        return String::new();
    }
    // SAFETY: as promised.
    String::from_utf16_lossy(unsafe { slice::from_raw_parts(of.Buffer, usize::from(of.Length) / 2) })
}

/// Until then, in units of 100 ns since Windows' beginning.
fn left(end: i64) -> Duration {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let end = u64::try_from(end).unwrap_or_default();
    let end = Duration::new(end / 10_000_000, u32::try_from(end % 10_000_000).unwrap_or_default() * 100);
    end.saturating_sub(since_1970 + WINDOWS_EPOCH)
}

fn wide(text: &str) -> Vec<u16> {
    text.encode_utf16().chain([0]).collect()
}
