# On a real Windows, as an administrator: the life of a service, and of an installer, from nothing to nothing.
#
#   tests/windows/native.ps1 -Program hallpass.exe
#   tests/windows/native.ps1 -Installer hallpass-VERSION-x64.msi [-Next hallpass-LATER-x64.msi]
#
# What Wine can show as well is in tests/windows/run; this is what it cannot: virtual accounts, ACLs, a real msiexec.
param([string] $Program, [string] $Installer, [string] $Next)
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
function Free-Port {
    $free = [System.Net.Sockets.TcpListener]::new([System.Net.IPAddress]::Loopback, 0)
    $free.Start()
    $free.LocalEndpoint.Port
    $free.Stop()
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
$configuration = Join-Path $data "hallpass.toml"
$users = "S-1-5-32-545"
# Whom a relay of the machine serves has to be said first. The directory is as an administrator would make it by hand: open
# to all users, which is for hallpass to mend.
function Serve-Everybody {
    New-Item -ItemType Directory -Force $data | Out-Null
    Run "icacls" @($data, "/inheritance:r", "/grant", "*S-1-5-18:(OI)(CI)F", "*S-1-5-32-544:(OI)(CI)F", "*${users}:(OI)(CI)M") | Out-Null
    Set-Content -Path $configuration -Value "[access]`nusers = `"any`"`n"
    # Whether a new file is an administrator's or the administrators' differs between machines.
    foreach ($path in $data, $configuration) {
        Run "icacls" @($path, "/setowner", "*S-1-5-32-544") | Out-Null
        Assert ((Writers $path) -contains $users) "users cannot write $path, so it would show nothing that they cannot later"
    }
}
# Who may change what is there, without administrators and the system: by the rights that the program itself looks at.
function Writers([string] $path) {
    $changing = 0x2 -bor 0x4 -bor 0x40 -bor 0x10000 -bor 0x40000 -bor 0x80000 -bor 0x10000000 -bor 0x40000000
    $trusted = "S-1-5-18", "S-1-5-32-544", "S-1-3-0", "S-1-3-4", "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464"
    $acl = Get-Acl -LiteralPath $path
    $rules = $acl.GetAccessRules($true, $true, [System.Security.Principal.SecurityIdentifier])
    $here = $rules | Where-Object { $_.AccessControlType -eq "Allow" -and $_.PropagationFlags -notmatch "InheritOnly" }
    $allowed = $here | Where-Object { [int] $_.FileSystemRights -band $changing }
    $names = @($allowed | ForEach-Object { $_.IdentityReference.Value }) + $acl.GetOwner([System.Security.Principal.SecurityIdentifier]).Value
    @($names | Where-Object { $_ -notin $trusted })
}
function Assert-Closed {
    foreach ($path in $data, $configuration) {
        $writers = @(Writers $path)
        Assert ($writers.Count -eq 0) "$writers may write $path"
    }
}

if ($Program) {
    # Where everybody may write, no program becomes a service.
    $lent = (Resolve-Path $Program).Path
    $place = Join-Path $env:ProgramFiles "hallpass-tried"
    New-Item -ItemType Directory -Force $place | Out-Null
    Copy-Item (Join-Path (Split-Path $lent) "hallpass*.exe") $place
    $Program = Join-Path $place (Split-Path -Leaf $lent)
    Test "a program that others may change does not become a service" {
        Run "icacls" @($place, "/grant", "*S-1-5-32-545:(OI)(CI)M") | Out-Null
        $said = & $Program service install --system 2>&1 | Out-String
        Assert ($LASTEXITCODE -eq 1 -and $said -match "others may change") "it ended with ${LASTEXITCODE}: $said"
        Run "icacls" @($place, "/remove:g", "*S-1-5-32-545") | Out-Null
    }
    Test "a relay knows by the system's own times whose a connection is, and serves the user who runs it" {
        $port = Free-Port
        $relay = Start-Process $Program -ArgumentList "serve", "--no-config", "--listen", "127.0.0.1:$port" -WindowStyle Hidden -PassThru
        try {
            Wait-For "the relay" { try { [System.Net.Sockets.TcpClient]::new("127.0.0.1", $port).Close(); $true } catch { $false } }
            Answers $port
        } finally { Stop-Process $relay }
    }
    Test "the service runs under a virtual account and answers, and closes the directory that all users could write" {
        Serve-Everybody
        Run $Program @("service", "install", "--system") | Out-Null
        Assert-Closed
        $account = (Get-CimInstance Win32_Service -Filter "Name='hallpass'").StartName
        Assert ($account -eq "NT SERVICE\hallpass") "it runs as $account"
        Wait-For "the relay" { (Get-Service hallpass).Status -eq "Running" }
        Answers 3128
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
        Assert-Closed
    }
    if ($Next) {
        $Next = (Resolve-Path $Next).Path
        $exe = Join-Path $programs "hallpass.exe"
        $versions = { (Get-ItemProperty "HKLM:\Software\Microsoft\Windows\CurrentVersion\Uninstall\*" | Where-Object DisplayName -eq "hallpass").DisplayVersion }
        Test "an upgrade that fails brings the version before back" {
            $before = & $versions
            Run $exe @("service", "uninstall", "--system") | Out-Null
            Set-Content -Path (Join-Path $data "hallpass.toml") -Value "nonsense = 1`n"
            $failed = Start-Process msiexec -ArgumentList "/i", "`"$Next`"", "SERVICE=1", "/qn", "/norestart" -Wait -PassThru
            Assert ($failed.ExitCode -ne 0) "a service that cannot start was installed"
            Assert ((& $versions) -eq $before) "$(& $versions) is installed, and $before was"
            Run $exe @("--version") | Out-Null
            Assert (-not (Get-Service hallpass -ErrorAction SilentlyContinue)) "there is a service"
        }
        Test "an upgrade leaves the service as it was made, and starts it again" {
            Serve-Everybody
            Run $exe @("service", "install", "--system", "--listen", "127.0.0.1:3129") | Out-Null
            $before = & $versions
            Msi @("/i", "`"$Next`"")
            Assert ((& $versions) -ne $before) "$before is still installed"
            $made = (Get-CimInstance Win32_Service -Filter "Name='hallpass'").PathName
            Assert ($made -like "*127.0.0.1:3129*") "the service is $made"
            Wait-For "the relay" { (Get-Service hallpass).Status -eq "Running" }
            Answers 3129
        }
        $Installer = $Next
    }
    Test "the configuration stays when the program is removed, and nothing else" {
        Msi @("/x", "`"$Installer`"")
        Assert (-not (Test-Path (Join-Path $programs "hallpass.exe"))) "the program is still in $programs"
        Assert (-not (Get-Service hallpass -ErrorAction SilentlyContinue)) "the service is still there"
        Assert ([Environment]::GetEnvironmentVariable("PATH", "Machine") -notlike "*\hallpass*") "PATH still leads to it"
        Assert (Test-Path $configuration) "the configuration is gone"
    }
}
Write-Host "$passed passed, 0 failed"
