/**
 * The words in which Cloud Elements speaks: those of its documented and recorded messages (help center and devportal
 * "Error Codes", churros issues 374 and 658 and pull requests 629 and 1659, UiPath Integration Service, which took its
 * texts over), of HTTP's reason phrases, of the configuration entries in its guides' sample bodies, and plain English
 * that such messages are made of. In alphabetical order, and loaded by every function that calls Cloud Elements: a few
 * hundred are enough. No names, no places, no numbers, and no letter of its own but "a".
 */
export const relayedWords: ReadonlySet<string> = new Set(
  `
a able about accept acceptable accepted access account accounts action active add additional administrator after again
all allow allowed already also an and another any api API APIs app application are argument as associated at attempt
attempts attribute authenticate authenticated authenticating authentication authorization authorize authorized
available bad base basic be because been before being below between blank body boolean both bucket but by call callback
can can't cannot certificate change changed character characters check client cloud code column company complete
configuration configurations configured conflict connect connected connection connector contact contain contains
content correct could couldn't create created creating creation credential credentials current currently customer data
database date default define defined definition definitions delete deleted denied deprecated detail details determine
did different disable disabled do does doesn't domain don't due duplicate each either element elements email empty
enable enabled encountered endpoint enter entered entity entry error errors event events exceed exceeded exceeds
exception execute exist existing exists expected expired external fail failed failure false field fields file filter
find first follow following for forbidden form format formula found from gateway get GET given grant group handle has
have header headers host HTTP HTTPS hub id ID identifier ids IDs if in inactive incorrect information input insert
instance instances instead insufficient integration internal interval into invalid is issue it item items its JSON key
keys known large least length license limit limits list load locked login long longer made make malformed many match
matched matching max maximum may media message method minimum missing more most must name named names necessary need
needs network new no non none not notification null nulls number oauth OAuth object objects occurred of off often OK on
once one only operation option or order org organization other our out overwrite owner page pagination parameter
parameters parse partner password PATCH path payload permission permissions permitted platform please poller port POST
present problem process processed processing profile properties property provide provided provider provision
provisioned provisioning proxy PUT query quota rate reach reached read realm reason receive received redirect refresh
refused region register registered rejected remove removed request requested requests require required requires
resource resources response restricted result retrieve retry return returned revoked role roles route same sandbox
schema scope scopes second secret secrets secure see select send sent server service session set setting settings
should sign signature since site size so some something specified specify started state status still store string
subdomain subscription success successful successfully such support supported system tag tags temporarily tenant than
that the their them then there these they this those through time timed timeout TLS to token tokens too transformation
true try type types unable unauthorized unavailable unexpected unique unknown unprocessable unrecognized unsupported
until update updated updating upload uploading URI url URL URLs us use used user username users using valid validate
validated validation value values vendor verb verify version via was way we webhook went were when where which while
who will with within without wrong WSDL XML yet you you're your
`
    .trim()
    .split(/\s/),
);
