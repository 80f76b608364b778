//! WinINET's settings of the user, for each connection, as the control panel sets them: WinHTTP's programs that ask for
//! the user's read the same.

use std::ffi::{OsString, c_void};
use std::io;
use std::net::SocketAddr;
use std::ptr::{null, null_mut};

use windows_registry::CURRENT_USER;
use windows_sys::Win32::Foundation::GlobalFree;
use windows_sys::Win32::NetworkManagement::Rras::{ERROR_BUFFER_TOO_SMALL, RASCONNW, RasEnumConnectionsW};
use windows_sys::Win32::Networking::WinInet::{
    INTERNET_OPTION_PER_CONNECTION_OPTION, INTERNET_OPTION_REFRESH, INTERNET_OPTION_SETTINGS_CHANGED,
    INTERNET_PER_CONN_AUTOCONFIG_URL, INTERNET_PER_CONN_FLAGS, INTERNET_PER_CONN_FLAGS_UI,
    INTERNET_PER_CONN_OPTION_LISTW, INTERNET_PER_CONN_OPTIONW, INTERNET_PER_CONN_OPTIONW_0,
    INTERNET_PER_CONN_PROXY_BYPASS, INTERNET_PER_CONN_PROXY_SERVER, InternetQueryOptionW, InternetSetOptionW,
};

use super::{Autostart, ChangeError, Desktop, Settings, Value, Variable, connection};
use crate::system_proxy::imp::is_machine_wide;

const MACHINE_WIDE: &str = "a policy (ProxySettingsPerUser) makes the machine's proxy settings everybody's, and those are not \
                            changed: programs that go by the variables need no --system";

/// Run and emptied at the next log-in; the mark has it emptied when the command has ended and not before.
const RUN_ONCE: &str = r"SOFTWARE\Microsoft\Windows\CurrentVersion\RunOnce";
const RUN_ONCE_NAME: &str = "!hallpass";

pub(super) fn in_use(variable: Variable) -> Result<Box<dyn Settings>, ChangeError> {
    match is_machine_wide() {
        true => Err(ChangeError::Unsupported(MACHINE_WIDE.into())),
        false => of(Desktop::Windows, variable),
    }
}

pub(super) fn of(desktop: Desktop, _: Variable) -> Result<Box<dyn Settings>, ChangeError> {
    match desktop {
        Desktop::Windows => Ok(Box::new(Internet)),
        Desktop::Gnome | Desktop::Kde | Desktop::Macos => {
            Err(ChangeError::of(desktop, "they are those of another system"))
        }
    }
}

struct Internet;

impl Settings for Internet {
    fn desktop(&self) -> Desktop {
        Desktop::Windows
    }

    /// That of the local network, and those that are dialled.
    fn connections(&self) -> Vec<String> {
        let mut all = vec![String::new()];
        for name in dialled() {
            if !all.contains(&name) {
                all.push(name);
            }
        }
        all
    }

    fn read(&self, connections: &[String]) -> Result<Vec<Value>, ChangeError> {
        let mut values = Vec::new();
        for name in connections {
            match one(name) {
                Ok(of_one) => values.extend(of_one),
                // A connection that was removed has no settings any more.
                Err(error) if !name.is_empty() => tracing::debug!(%error, name, "no settings"),
                Err(error) => return Err(ChangeError::of(Desktop::Windows, error)),
            }
        }
        Ok(values)
    }

    fn wanted(&self, before: &[Value], relay: SocketAddr) -> Vec<Value> {
        connection::wanted(before, relay)
    }

    /// All of a connection at once, so that no program sees half of it.
    fn write(&self, values: &[Value]) -> Result<(), ChangeError> {
        let mut connections: Vec<&str> = values.iter().map(|value| value.key.connection.as_str()).collect();
        connections.sort_unstable();
        connections.dedup();
        for name in connections {
            let of_one: Vec<&Value> = values.iter().filter(|value| value.key.connection == name).collect();
            set(name, &of_one).map_err(|error| ChangeError::of(Desktop::Windows, error))?;
        }
        tell_programs();
        Ok(())
    }
}

fn one(name: &str) -> io::Result<Vec<Value>> {
    // What a person has chosen, where Windows can tell it from what it does at the moment.
    let flags = query(name, INTERNET_PER_CONN_FLAGS_UI).or_else(|_| query(name, INTERNET_PER_CONN_FLAGS))?;
    let text = |option| query(name, option).map(|value| value.text());
    let script = text(INTERNET_PER_CONN_AUTOCONFIG_URL).unwrap_or_default();
    let (server, exceptions) = (text(INTERNET_PER_CONN_PROXY_SERVER)?, text(INTERNET_PER_CONN_PROXY_BYPASS)?);
    Ok(connection::values(name, flags.number(), &server, &exceptions, &script))
}

/// What was asked for; a text is freed with it.
struct Answer(INTERNET_PER_CONN_OPTIONW, bool);

#[expect(unsafe_code, reason = "Windows gives settings back in a union, with memory that is then ours")]
impl Answer {
    fn number(&self) -> u32 {
        // SAFETY: whatever Windows wrote into the union, its first four bytes are a number.
        unsafe { self.0.Value.dwValue }
    }

    fn text(&self) -> String {
        // SAFETY: an answer with a text has a pointer there, which is null or that of a text that ends with a zero.
        let start = unsafe { self.0.Value.pszValue };
        if start.is_null() {
            return String::new();
        }
        // SAFETY: as above; nothing is read beyond the zero.
        let length = (0..).take_while(|at| unsafe { *start.add(*at) } != 0).count();
        // SAFETY: so many units are there, and they live as long as we.
        String::from_utf16_lossy(unsafe { std::slice::from_raw_parts(start, length) })
    }
}

#[expect(unsafe_code, reason = "the memory was given to us")]
impl Drop for Answer {
    fn drop(&mut self) {
        if self.1 {
            // SAFETY: the text, if there is one, was allocated for us by Windows, and is used no more.
            unsafe { GlobalFree(self.0.Value.pszValue.cast()) };
        }
    }
}

fn wide(text: &str) -> Vec<u16> {
    text.encode_utf16().chain([0]).collect()
}

fn list(connection: &mut [u16], options: &mut [INTERNET_PER_CONN_OPTIONW]) -> INTERNET_PER_CONN_OPTION_LISTW {
    INTERNET_PER_CONN_OPTION_LISTW {
        dwSize: size_of::<INTERNET_PER_CONN_OPTION_LISTW>() as u32,
        // The local network is no name at all.
        pszConnection: if connection.len() > 1 { connection.as_mut_ptr() } else { null_mut() },
        dwOptionCount: options.len() as u32,
        dwOptionError: 0,
        pOptions: options.as_mut_ptr(),
    }
}

#[expect(unsafe_code, reason = "Windows has no other way to ask")]
fn query(connection: &str, option: u32) -> io::Result<Answer> {
    let mut name = wide(connection);
    let nothing = INTERNET_PER_CONN_OPTIONW_0 { pszValue: null_mut() };
    let mut options = [INTERNET_PER_CONN_OPTIONW { dwOption: option, Value: nothing }];
    let mut list = list(&mut name, &mut options);
    let mut size = list.dwSize;
    // SAFETY: the list, the name and the options it points to live until the call has returned, and say their size.
    let asked = unsafe {
        InternetQueryOptionW(null(), INTERNET_OPTION_PER_CONNECTION_OPTION, (&raw mut list).cast::<c_void>(), &mut size)
    };
    if asked == 0 {
        return Err(io::Error::last_os_error());
    }
    let texts = [INTERNET_PER_CONN_AUTOCONFIG_URL, INTERNET_PER_CONN_PROXY_SERVER, INTERNET_PER_CONN_PROXY_BYPASS];
    Ok(Answer(options[0], texts.contains(&option)))
}

#[expect(unsafe_code, reason = "Windows has no other way to set it for a connection")]
fn set(connection: &str, values: &[&Value]) -> io::Result<()> {
    let mut name = wide(connection);
    let mut texts: Vec<Vec<u16>> = values.iter().map(|value| wide(value.text.as_deref().unwrap_or_default())).collect();
    let option = |(value, text): (&&Value, &mut Vec<u16>)| match value.key.name.as_str() {
        connection::FLAGS => {
            let flags = value.text.as_deref().and_then(|text| text.parse().ok()).unwrap_or_default();
            let value = INTERNET_PER_CONN_OPTIONW_0 { dwValue: flags };
            INTERNET_PER_CONN_OPTIONW { dwOption: INTERNET_PER_CONN_FLAGS, Value: value }
        }
        name => INTERNET_PER_CONN_OPTIONW {
            dwOption: match name {
                connection::SERVER => INTERNET_PER_CONN_PROXY_SERVER,
                connection::EXCEPTIONS => INTERNET_PER_CONN_PROXY_BYPASS,
                _ => INTERNET_PER_CONN_AUTOCONFIG_URL,
            },
            Value: INTERNET_PER_CONN_OPTIONW_0 { pszValue: text.as_mut_ptr() },
        },
    };
    let mut options: Vec<INTERNET_PER_CONN_OPTIONW> = values.iter().zip(&mut texts).map(option).collect();
    let list = list(&mut name, &mut options);
    // SAFETY: the list and all it points to live until the call has returned, and say their size.
    let done = unsafe {
        InternetSetOptionW(
            null(),
            INTERNET_OPTION_PER_CONNECTION_OPTION,
            (&raw const list).cast::<c_void>(),
            list.dwSize,
        )
    };
    if done == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Those that run read their settings again.
#[expect(unsafe_code, reason = "Windows has no other way to tell them")]
fn tell_programs() {
    for notice in [INTERNET_OPTION_SETTINGS_CHANGED, INTERNET_OPTION_REFRESH] {
        // SAFETY: both take no buffer.
        if unsafe { InternetSetOptionW(null(), notice, null(), 0) } == 0 {
            tracing::debug!(error = %io::Error::last_os_error(), notice, "programs are not told");
        }
    }
}

/// The names of the dial-up and VPN connections that are up; none where this is not to be had.
#[expect(unsafe_code, reason = "Windows has no other way to ask")]
fn dialled() -> Vec<String> {
    let unit = size_of::<RASCONNW>() as u32;
    let mut room = vec![RASCONNW { dwSize: unit, ..RASCONNW::default() }; 8];
    loop {
        let (mut bytes, mut count) = (unit * room.len() as u32, 0);
        // SAFETY: the room lives until the call has returned, says the size of its units, and is as large as `bytes`.
        let outcome = unsafe { RasEnumConnectionsW(room.as_mut_ptr(), &mut bytes, &mut count) };
        match outcome {
            0 => return room.iter().take(count as usize).map(name_of).collect(),
            ERROR_BUFFER_TOO_SMALL if bytes > unit * room.len() as u32 => {
                room.resize((bytes / unit) as usize + 1, room[0]);
            }
            error => {
                tracing::debug!(error, "dialled connections are not known");
                return Vec::new();
            }
        }
    }
}

fn name_of(connection: &RASCONNW) -> String {
    let name = connection.szEntryName;
    String::from_utf16_lossy(&name[..name.iter().position(|unit| *unit == 0).unwrap_or(name.len())])
}

struct RunOnce(String);

pub(super) fn autostart(command: &[OsString], _: Variable) -> Option<Box<dyn Autostart>> {
    let words: Option<Vec<String>> = command.iter().map(|word| word.to_str().map(quoted)).collect();
    Some(Box::new(RunOnce(words?.join(" "))))
}

/// No path of Windows has quotes in it.
fn quoted(word: &str) -> String {
    format!("\"{word}\"")
}

impl Autostart for RunOnce {
    fn add(&self) -> io::Result<()> {
        let key = CURRENT_USER.create(RUN_ONCE);
        key.and_then(|key| key.set_string(RUN_ONCE_NAME, &self.0)).map_err(io::Error::other)
    }

    fn remove(&self) -> io::Result<()> {
        let Ok(key) = CURRENT_USER.options().read().write().open(RUN_ONCE) else { return Ok(()) };
        match key.get_string(RUN_ONCE_NAME) {
            Ok(_) => key.remove_value(RUN_ONCE_NAME).map_err(io::Error::other),
            Err(_) => Ok(()),
        }
    }
}
