//! What Windows shows of the executables and lets them do: version, maker, manifest. For other systems there is nothing to do.

use std::env;
use std::error::Error;
use std::fs;
use std::path::PathBuf;

const MANIFEST: &str = "packaging/windows/hallpass.manifest";

/// The executables, and what each of them is called.
const PROGRAMS: [(&str, &str); 2] = [("hallpass", "hallpass"), ("hallpassw", "hallpass without a window")];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed={MANIFEST}");
    if env::var("CARGO_CFG_TARGET_OS")? != "windows" {
        return Ok(());
    }
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::copy(MANIFEST, out.join("hallpass.manifest"))?;
    for (program, description) in PROGRAMS {
        let script = out.join(format!("{program}.rc"));
        fs::write(&script, resources(program, description)?)?;
        embed_resource::compile_for(script, [program], embed_resource::NONE).manifest_required()?;
    }
    Ok(())
}

/// The script of the resource compiler: VERSIONINFO, and the manifest as resource 1 of type 24 (RT_MANIFEST).
fn resources(program: &str, description: &str) -> Result<String, Box<dyn Error>> {
    let version = env::var("CARGO_PKG_VERSION")?;
    let part = |name: &str| env::var(format!("CARGO_PKG_VERSION_{name}"));
    let numbers = format!("{},{},{},0", part("MAJOR")?, part("MINOR")?, part("PATCH")?);
    let licence = env::var("CARGO_PKG_LICENSE")?;
    Ok(format!(
        r#"1 VERSIONINFO
FILEVERSION {numbers}
PRODUCTVERSION {numbers}
FILEFLAGSMASK 0x3fL
FILEFLAGS 0x0L
FILEOS 0x40004L
FILETYPE 0x1L
FILESUBTYPE 0x0L
BEGIN
  BLOCK "StringFileInfo"
  BEGIN
    BLOCK "040904b0"
    BEGIN
      VALUE "CompanyName", "The hallpass authors\0"
      VALUE "FileDescription", "{description}\0"
      VALUE "FileVersion", "{version}\0"
      VALUE "InternalName", "{program}\0"
      VALUE "LegalCopyright", "Copyright the hallpass authors. Licence: {licence}\0"
      VALUE "OriginalFilename", "{program}.exe\0"
      VALUE "ProductName", "hallpass\0"
      VALUE "ProductVersion", "{version}\0"
    END
  END
  BLOCK "VarFileInfo"
  BEGIN
    VALUE "Translation", 0x409, 1200
  END
END
1 24 "hallpass.manifest"
"#
    ))
}
