import * as TransportLaws from "@effect-listener/testing/TransportLaws"
import { tcp, tls, unix } from "./support/nodeSubjects.ts"

TransportLaws.suite("TCP", tcp)
TransportLaws.suite("Unix", unix)
TransportLaws.suite("TLS", tls)
