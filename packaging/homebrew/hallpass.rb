# packaging/release formula fills in where the sources of the release lie and their checksum.
class Hallpass < Formula
  desc "Local relay that logs on to a corporate proxy for other programs"
  homepage "@HOMEPAGE@"
  url "@URL@"
  version "@VERSION@"
  sha256 "@SHA256@"
  license all_of: ["MIT", "MPL-2.0"]

  depends_on "rust" => :build

  on_linux do
    depends_on "llvm" => :build # libclang, which reads the headers of Kerberos
    depends_on "pkgconf" => :build
    depends_on "krb5"
  end

  def install
    system "cargo", "install", *std_cargo_args
    system bin/"hallpass", "man", "--all", man1
    generate_completions_from_executable(bin/"hallpass", "completions")
    pkgshare.install "examples"
    doc.install "README.md", "SECURITY.md", "CHANGELOG.md", "docs"
  end

  service do
    run [opt_bin/"hallpass", "serve"]
    keep_alive successful_exit: false
    process_type :interactive
    error_log_path var/"log/hallpass.log"
  end

  test do
    assert_match version.to_s.split("~").first, shell_output("#{bin}/hallpass --version")
    system bin/"hallpass", "config", "check", "--no-config"
    assert_match "All of it passed", shell_output("#{bin}/hallpass demo --once")
  end
end
