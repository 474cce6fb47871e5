import io.apicurio.registry.resolver.ParsedSchema;
import io.apicurio.registry.resolver.data.Record;
import io.apicurio.registry.resolver.strategy.ArtifactReference;
import io.apicurio.registry.resolver.strategy.ArtifactReferenceResolverStrategy;
import io.apicurio.registry.serde.data.SerdeMetadata;
import org.apache.avro.Schema;

/**
 * Confluent's TopicRecordNameStrategy, by which the pipeline names its subjects. Apicurio's TopicRecordIdStrategy looks
 * in the group of the namespace, for the name without it.
 */
public final class SubjectStrategy implements ArtifactReferenceResolverStrategy<Schema, Object> {
    @Override
    public ArtifactReference artifactReference(Record<Object> data, ParsedSchema<Schema> schema) {
        String topic = ((SerdeMetadata) data.metadata()).getTopic();
        String id = topic + "-" + schema.getParsedSchema().getFullName();
        return ArtifactReference.builder().groupId("default").artifactId(id).build();
    }
}
