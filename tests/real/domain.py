"""Fills the freshly provisioned domain with the accounts of layout.py. Runs offline, on the database's files."""
from samba.auth import system_session
from samba.param import LoadParm
from samba.samdb import SamDB

from layout import ACCOUNTS, SPN

AES_ONLY = 24

lp = LoadParm()
lp.load_default()
db = SamDB(session_info=system_session(), lp=lp)
service = "squid-svc"
for name, password in {**ACCOUNTS, service: "Service-Pw-1"}.items():
    db.newuser(name, password)
db.modify_ldif(f"""dn: CN={service},CN=Users,{db.domain_dn()}
changetype: modify
add: servicePrincipalName
servicePrincipalName: {SPN}
-
add: msDS-SupportedEncryptionTypes
msDS-SupportedEncryptionTypes: {AES_ONLY}
""")
# Once more, so that keys of these types are sure to be there.
db.setpassword(f"(sAMAccountName={service})", "Service-Pw-1")
