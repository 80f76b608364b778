# proxy
alias ll='ls -l'
NTLM_CREDENTIALS="malory@ISIS:823893adfad2cda6e1a414f3ebdf58f7"; export NTLM_CREDENTIALS
export http_proxy=localhost:3128
