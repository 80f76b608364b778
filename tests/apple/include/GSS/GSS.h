/* MIT's declarations under Apple's names, for checking Rust code against GSS.framework where that is not to be had. */
#define gss_name_struct gss_name_t_desc_struct
#define gss_cred_id_struct gss_cred_id_t_desc_struct
#include <gssapi/gssapi.h>
#include <gssapi/gssapi_ext.h>
#undef gss_name_struct
#undef gss_cred_id_struct
