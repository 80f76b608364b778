# On a real Windows, as an administrator: the life of a service, and of an installer, from nothing to nothing.
#
#   tests/windows/native.ps1 -Program hallpass.exe
#   tests/windows/native.ps1 -Installer hallpass-VERSION-x64.msi
#
# What Wine can show as well is in tests/windows/run; this is what it cannot: virtual accounts, ACLs, a real msiexec.
param([string] $Program, [string] $Installer)
$ErrorActionPreference = "Stop"
$passed = 0

function Test([string] $sentence, [scriptblock] $facts) {
    & $facts
    $script:passed++
    Write-Host "ok      $sentence"
}
function Assert($fact, [string] $what) { if (-not $fact) { throw $what } }
# Runs a program and gives what it says; a failure ends the test.
function Run([string] $file, [string[]] $arguments) {
    $said = & $file @arguments 2>&1 | Out-String
    Assert ($LASTEXITCODE -eq 0) "$file $arguments ended with ${LASTEXITCODE}: $said"
    $said
}
function Msi([string[]] $arguments) {
    $done = Start-Process msiexec -ArgumentList ($arguments + "/qn", "/norestart") -Wait -PassThru
    Assert ($done.ExitCode -eq 0) "msiexec $arguments ended with $($done.ExitCode)"
}
function Wait-For([string] $what, [scriptblock] $fact) {
    $end = (Get-Date).AddSeconds(60)
    while (-not (& $fact)) {
        Assert ((Get-Date) -lt $end) "${what}: not within a minute"
        Start-Sleep -Milliseconds 100
    }
}
function Answers([int] $port) {
    $target = [System.Net.Sockets.TcpListener]::new([System.Net.IPAddress]::Loopback, 0)
    $target.Start()
    try {
        $named = "127.0.0.1:$($target.LocalEndpoint.Port)"
        $relay = [System.Net.Sockets.TcpClient]::new("127.0.0.1", $port)
        $stream = $relay.GetStream()
        $stream.ReadTimeout = 20000
        $asked = [Text.Encoding]::ASCII.GetBytes("CONNECT $named HTTP/1.1`r`nHost: $named`r`n`r`n")
        $stream.Write($asked, 0, $asked.Length)
        $status = [IO.StreamReader]::new($stream).ReadLine()
        Assert ($status -like "HTTP/1.1 200*") "the relay answered $status"
        $relay.Close()
    } finally { $target.Stop() }
}

$data = Join-Path $env:ProgramData "hallpass"
# Whom a relay of the machine serves has to be said first, in a directory that administrators alone may write.
function Serve-Everybody {
    New-Item -ItemType Directory -Force $data | Out-Null
    Run "icacls" @($data, "/inheritance:r", "/grant", "*S-1-5-18:(OI)(CI)F", "*S-1-5-32-544:(OI)(CI)F", "*S-1-5-32-545:(OI)(CI)RX") | Out-Null
    Set-Content -Path (Join-Path $data "hallpass.toml") -Value "[access]`nusers = `"any`"`n"
}

if ($Program) {
    $Program = (Resolve-Path $Program).Path
    Test "the service runs under a virtual account and answers" {
        Serve-Everybody
        Run $Program @("service", "install", "--system") | Out-Null
        $account = (Get-CimInstance Win32_Service -Filter "Name='hallpass'").StartName
        Assert ($account -eq "NT SERVICE\hallpass") "it runs as $account"
        Wait-For "the relay" { (Get-Service hallpass).Status -eq "Running" }
        Answers 3128
    }
    Test "others than administrators may not write its directory" {
        $writers = (Get-Acl $data).Access | Where-Object { $_.AccessControlType -eq "Allow" -and $_.FileSystemRights -match "Write|Modify|FullControl" }
        $names = $writers.IdentityReference.Value | Where-Object { $_ -notmatch "SYSTEM|Administrators|CREATOR OWNER|NT SERVICE\\hallpass|TrustedInstaller" }
        Assert (-not $names) "$names may write $data"
    }
    Test "it stops, and is gone when it is uninstalled" {
        Run $Program @("service", "stop", "--system") | Out-Null
        Run $Program @("service", "uninstall", "--system") | Out-Null
        Wait-For "the end of the service" { -not (Get-Service hallpass -ErrorAction SilentlyContinue) }
    }
}

if ($Installer) {
    $Installer = (Resolve-Path $Installer).Path
    $programs = Join-Path $env:ProgramFiles "hallpass"
    Test "the installer installs without a question, with a service" {
        Serve-Everybody
        Msi @("/i", "`"$Installer`"", "SERVICE=1")
        Assert (Test-Path (Join-Path $programs "hallpass.exe")) "there is no program in $programs"
        Run (Join-Path $programs "hallpass.exe") @("--version") | Out-Null
        Assert ([Environment]::GetEnvironmentVariable("PATH", "Machine") -like "*\hallpass*") "PATH does not lead to it"
        Wait-For "the relay" { (Get-Service hallpass -ErrorAction SilentlyContinue).Status -eq "Running" }
        Answers 3128
    }
    Test "the configuration stays when the program is removed, and nothing else" {
        Msi @("/x", "`"$Installer`"")
        Assert (-not (Test-Path (Join-Path $programs "hallpass.exe"))) "the program is still in $programs"
        Assert (-not (Get-Service hallpass -ErrorAction SilentlyContinue)) "the service is still there"
        Assert ([Environment]::GetEnvironmentVariable("PATH", "Machine") -notlike "*\hallpass*") "PATH still leads to it"
        Assert (Test-Path (Join-Path $data "hallpass.toml")) "the configuration is gone"
    }
}
Write-Host "$passed passed, 0 failed"
